"""A child with a sink of its own kills the collector's workers one by one; see tests/faults/test_scope.py.

Usage: killing_workers.py WHOLE OWN. Prints the child's number of rows.
"""

from __future__ import annotations

import os
import signal
import sys

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

KILLS = 5


def log_and_kill() -> int:
    """Log until `KILLS` workers are killed, and return the number of rows."""
    joined = current.session()
    assert joined is not None
    words = joined.segment.ring.words
    killed: list[int] = []
    rows = 0
    while len(killed) < KILLS:
        for step in range(500):
            rr.log("child", rr.Scalars(float(step)))
        rows += 500
        worker = words[Header.WORKER_PID]
        if worker and worker not in killed[-1:]:
            killed.append(worker)
            os.kill(worker, signal.SIGKILL)
    return rows


if __name__ == "__main__":
    rr.init("rerun_mp_scope")
    rr.save(sys.argv[1])
    if os.fork() == 0:
        rr.save(sys.argv[2])
        print(log_and_kill(), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0
