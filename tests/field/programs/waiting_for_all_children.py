"""Forks children that log, and waits until no child is left, twice: waiting_for_all_children.py KIND FILE.

KIND is `subreaper` or `process 1`: what this process is to its descendants. A row follows each wait.
"""

from __future__ import annotations

import ctypes
import os
import sys

import rerun_mp as rr

CHILDREN, ROWS = 2, 10
PR_SET_CHILD_SUBREAPER = 36


def main(kind: str, path: str) -> None:
    if kind == "subreaper":
        assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    else:
        assert os.getpid() == 1
    rr.init("rerun_mp_adoption")
    rr.save(path)
    for child in range(CHILDREN):
        if os.fork() == 0:
            for number in range(ROWS):
                rr.log(f"child/{child}", rr.Scalars(number))
            rr.flush()
            os._exit(0)
    for value in (1.0, 2.0):
        wait_for_all()
        rr.log("after", rr.Scalars(value))


def wait_for_all() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        print("no child is left", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
