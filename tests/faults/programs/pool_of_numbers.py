"""A pool whose workers log numbers. Usage: pool_of_numbers.py FILE WORKERS ROWS."""

from __future__ import annotations

import multiprocessing
import sys

import rerun_mp as rr


def work(worker: int, rows: int) -> None:
    """Log numbers, and a text every tenth time."""
    for number in range(rows):
        rr.log(f"worker/{worker}", rr.Scalars(float(number)))
        if number % 10 == 0:
            rr.log(f"text/{worker}", rr.TextLog(str(number)))


def main() -> None:
    """Log from a forked pool."""
    # From its module, because `python -m trace` runs this file in a `__main__` that pickle does not find.
    from tests.faults.programs.pool_of_numbers import work

    path, workers, rows = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rr.init("rerun_mp_pool_of_numbers")
    rr.save(path)
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        pool.starmap(work, [(worker, rows) for worker in range(workers)])


if __name__ == "__main__":
    main()
