"""Usage: exceptions.py FILE. Raises in a process, a thread, a pool's task and the program itself, all captured."""

from __future__ import annotations

import multiprocessing
import sys
import threading

import rerun_mp as rr
from rerun_mp.integrations.exceptions import capture_exceptions, logs_exceptions


def raises(text: str) -> None:
    raise ValueError(text)


@logs_exceptions
def task(text: str) -> None:
    raises(text)


context = multiprocessing.get_context("fork")
rr.init("rerun_mp_exceptions")
rr.save(sys.argv[1])
capture_exceptions("errors")
process = context.Process(target=raises, args=("in a process",), name="child")
process.start()
process.join()
thread = threading.Thread(target=raises, args=("in a thread",))
thread.start()
thread.join()
with context.Pool(1) as pool:
    try:
        pool.apply(task, ("in a task",))
    except ValueError:
        pass
leaves = context.Process(target=sys.exit, args=(3,))
leaves.start()
leaves.join()
raises("in the program")
