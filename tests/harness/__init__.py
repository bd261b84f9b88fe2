"""What tests stand on: user programs as processes, recordings read back, real viewers, and what may be left behind.

The fixtures of `tests/conftest.py` hand these out; the modules are for what needs no fixture.
"""
