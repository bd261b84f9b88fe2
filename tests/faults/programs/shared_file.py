"""Three siblings save to one file, and two save to files of the founder; see tests/faults/test_scope.py.

Usage: shared_file.py WHOLE SHARED OTHER.
"""

from __future__ import annotations

import multiprocessing
import sys

import rerun_mp as rr


def work(number: int, path: str) -> None:
    """Save to `path` and log."""
    rr.save(path)
    for step in range(100):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))


if __name__ == "__main__":
    whole, shared, other = sys.argv[1:]
    rr.init("rerun_mp_scope")
    rr.save(whole)
    rr.log("founder", rr.Scalars(0.0))
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number, shared)) for number in range(3)]
    workers.append(context.Process(target=work, args=(3, whole)))
    workers.append(context.Process(target=work, args=(4, other)))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    # From now on the file is the founder's, and gets rows of the whole session.
    rr.save(other)
    rr.log("founder", rr.Scalars(1.0))
