"""A worker and its parent log. Then the parent replaces the file or disconnects: barrier.py METHOD FIRST SECOND.

With an empty SECOND it disconnects. Then it renames FIRST, which must be complete, and logs again.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

import rerun_mp as rr


def work(number: int) -> None:
    """Log ten rows in a worker."""
    for step in range(10):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))


def main() -> None:
    """Log before and after the barrier."""
    method, first, second = sys.argv[1:]
    rr.init("rerun_mp_barrier")
    rr.save(first)
    process = multiprocessing.get_context(method).Process(target=work, args=(1,))  # type: ignore[attr-defined]
    process.start()
    process.join()
    rr.log("parent", rr.Scalars(1.0))
    if second:
        rr.save(second)
    else:
        rr.disconnect()
    # The file must be complete now, although the program goes on.
    os.rename(first, first + ".seen")
    rr.log("parent", rr.Scalars(2.0))


if __name__ == "__main__":
    main()
