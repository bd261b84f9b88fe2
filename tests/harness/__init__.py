"""The tools of the tests: programs as processes, recordings read back, real viewers, and a check for leftovers.

The fixtures of `tests/conftest.py` use these modules. Tests import from them directly what needs no fixture.
"""
