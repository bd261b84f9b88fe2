"""A worker sets the file that another one has completed, and then their parent sets another file.

See tests/field/test_replaced_workers.py. Usage: completed_file.py WHOLE SHARED OTHER.
"""

from __future__ import annotations

import multiprocessing
import sys

import rerun_mp as rr


def work(number: int, path: str) -> None:
    """Save to `path` and log 50 rows. The first worker completes the file."""
    rr.save(path)
    for step in range(50):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))
    if number == 0:
        rr.disconnect()


if __name__ == "__main__":
    whole, shared, other = sys.argv[1:]
    rr.init("rerun_mp_replaced")
    rr.save(whole)
    context = multiprocessing.get_context("fork")
    for number in range(2):
        worker = context.Process(target=work, args=(number, shared))
        worker.start()
        worker.join()
    rr.save(other)
    rr.log("founder", rr.Scalars(0.0))
