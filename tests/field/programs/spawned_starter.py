"""A user's program: its spawned child kills the collector and starts another. Usage: spawned_starter.py FILE SECONDS.

Ends with an error if the end of the child is not seen within SECONDS.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import wait

import rerun_mp as rr


def work() -> None:
    """Log a row before and after the kill."""
    from rerun_mp.session import current
    from rerun_mp.shm.layout import Header

    rr.log("child", rr.Scalars(1.0))
    rr.flush()  # the worker runs, and has stored its pid
    joined = current.session()
    assert joined is not None
    words = joined.segment.ring.words
    os.kill(words[Header.WORKER_PID], signal.SIGSTOP)  # it would start another guard
    os.kill(words[Header.GUARD_PID], signal.SIGKILL)
    os.kill(words[Header.WORKER_PID], signal.SIGKILL)
    rr.log("child", rr.Scalars(2.0))
    rr.flush()


if __name__ == "__main__":
    rr.init("rerun_mp_spawning")
    rr.save(sys.argv[1])
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    assert wait([child.sentinel], float(sys.argv[2])), "the join would hang"
    child.join()
    assert child.exitcode == 0
