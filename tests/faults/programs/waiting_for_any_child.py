"""A program calls `os.wait` until it has no child; see tests/faults/test_orphans.py.

Usage: waiting_for_any_child.py FILE.
"""

from __future__ import annotations

import os
import sys

import rerun_mp as rr

if __name__ == "__main__":
    rr.init("rerun_mp_wait")
    rr.save(sys.argv[1])
    started = set()
    for number in range(3):
        child = os.fork()
        if child == 0:
            rr.log(f"child/{number}", rr.Scalars(1.0))
            os._exit(number)
        started.add(child)
    rr.flush()
    ended = set()
    try:
        while True:
            ended.add(os.wait()[0])
    except ChildProcessError:
        pass
    assert ended == started, (ended, started)
    rr.log("parent", rr.Scalars(1.0))
