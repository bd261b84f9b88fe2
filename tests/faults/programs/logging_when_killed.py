"""Two workers log rows and images, then wait to be killed; see tests/faults/test_recovery.py.

Usage: logging_when_killed.py FIFO [FILE...]. Each worker's first row is stored before it logs the others. An image is
larger than a quarter of the test's ring.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from multiprocessing.synchronize import Barrier, Event

import numpy as np

import rerun_mp as rr

ROWS = 500
IMAGES = 3
WORKERS = 2


def work(number: int, begin: Event, ready: Barrier) -> None:
    """Log a worker's rows."""
    rr.log(f"worker/{number}", rr.Scalars(0.0))
    rr.flush()
    ready.wait()
    begin.wait()
    for step in range(1, ROWS):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))
    for step in range(IMAGES):
        rr.log(f"image/{number}", rr.Image(np.full((1000, 1000, 3), step, np.uint8)))
    ready.wait()
    signal.pause()


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    begin, ready = context.Event(), context.Barrier(WORKERS + 1)
    rr.init("rerun_mp_worst")
    for path in sys.argv[2:]:
        rr.save(path)
    for number in range(WORKERS):
        context.Process(target=work, args=(number, begin, ready)).start()
    ready.wait()
    print("begun", flush=True)
    with open(sys.argv[1], encoding="utf-8") as fifo:
        fifo.read()
    begin.set()
    ready.wait()
    print("logged", flush=True)
    signal.pause()
