"""The known races and faults of earlier designs, the guard against each, and the test that fails without the guard.

`registry` says what an entry is, `segment`, `producers`, `collector` and `sinks` hold them, and `test_hazards` takes
each guard out of a copy of the tree and sees the test fail. `python -m tests.hazards` prints the table.
"""
