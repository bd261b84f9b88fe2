"""A program that forks workers, which log as `counting.py` does: forking.py FILE DIRECTORY CHANGE...

Each CHANGE is that of one worker: `never`, or whether it becomes another user `before` or `after` its first rows. The
program waits until it has no child left, as the first process of a container does, and then logs one row.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy.ma  # noqa: F401  # loaded before the user changes, because the other one may not be able to read it
import rerun  # noqa: F401

import rerun_mp as rr
import rerun_mp.encoding.encoder
from tests.soak.counting import Counts, count

__all__ = ["LAST"]

LAST = "last"
"""The entity of the program's own row."""
NOBODY = 65534
ROWS_BEFORE = 120
"""Rows of a worker that becomes another user after its first rows."""


def work(entity: str, counts: Counts, change: str) -> None:
    """Log until the last word is set, and change the user."""
    if change == "after":
        count(entity, counts, until=ROWS_BEFORE)
    if change != "never":
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    count(entity, counts)


def main(path: str, directory: str, *changes: str) -> None:
    """Fork the workers and wait for them."""
    rr.init("rerun_mp_soak")
    rr.save(path)
    for number, change in enumerate(changes):
        counts = Counts(Path(directory) / f"w{number}.counts")
        if os.fork() == 0:
            work(f"w{number}", counts, change)
            return
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    rr.log(LAST, rr.Scalars(1.0))
    rr.flush()
    print("no child is left", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
