"""Four workers log until a signal ends their process group; see tests/faults/test_orphans.py.

Usage: whole_group.py FILE COUNTS. COUNTS is a file of four 64-bit numbers: the rows that each worker has logged.
"""

from __future__ import annotations

import mmap
import multiprocessing
import sys

import rerun_mp as rr

WORKERS = 4


def work(number: int, counts: memoryview) -> None:
    """Log without end, and count the rows."""
    step = 0
    while True:
        rr.set_time("step", sequence=step)
        rr.log(f"worker/{number}", rr.Scalars(1.0))
        step += 1
        counts[number] = step  # one store, which no signal can tear


if __name__ == "__main__":
    rr.init("rerun_mp_group")
    rr.save(sys.argv[1])
    with open(sys.argv[2], "r+b") as file:
        counts = memoryview(mmap.mmap(file.fileno(), WORKERS * 8)).cast("Q")
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number, counts)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    print("started", flush=True)
    for worker in workers:
        worker.join()
