"""Workers log before and after their parent has been killed; see tests/faults/test_orphans.py.

Usage: orphans.py FILE METHOD. Prints the workers' process ids when each has logged half of its rows.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.queues import SimpleQueue

import rerun_mp as rr
from rerun_mp.session.waiting import wait_until

WORKERS = 3
ROWS = 1000


def work(number: int, parent: int, ready: SimpleQueue[int]) -> None:
    """Log half of the rows, wait for the parent's death, and log the other half."""
    log(number, range(ROWS // 2))
    ready.put(os.getpid())
    assert wait_until(lambda: os.getppid() != parent and not is_alive(parent), 30)
    log(number, range(ROWS // 2, ROWS))


def log(number: int, steps: range) -> None:
    """Log one row for each step."""
    for step in steps:
        rr.set_time("step", sequence=step)
        rr.log(f"worker/{number}", rr.Scalars(float(step)))


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    rr.init("rerun_mp_orphans")
    rr.save(sys.argv[1])
    rr.log("parent", rr.Scalars(1.0))
    ready = context.SimpleQueue()
    for number in range(WORKERS):
        context.Process(target=work, args=(number, os.getpid(), ready)).start()  # type: ignore[attr-defined]
    print("workers", *(ready.get() for _ in range(WORKERS)), "end", flush=True)
