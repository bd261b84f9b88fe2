"""A user's program: daemon threads and a finaliser log while the interpreter ends.

Usage: logging_at_the_end.py FILE WHERE. WHERE is `founder` or `child`.
"""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Callable
from typing import Any

import numpy as np

import rerun_mp as rr

rr.init("rerun_mp_finalising")
rr.save(sys.argv[1])
# Boxes have no table: each call holds the producer's mutex.
boxes = rr.Boxes2D(half_sizes=[[1.0, 2.0]])
rr.log("main", boxes)
# Each call claims slots while it holds the mutex, and lets other threads run meanwhile.
image = rr.Image(np.zeros((1000, 1000), np.uint8))
child = os.fork() if sys.argv[2] == "child" else 0
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


class Late:
    """Logs when it is deleted. The module's names are gone by then."""

    def __del__(self, log: Callable[..., object] = rr.log, row: Any = boxes) -> None:
        log("late", row)


# The threads below are frozen in this module, so that Python frees nothing of it. It frees the names of this one.
sys.modules["another"] = types.ModuleType("another")
vars(sys.modules["another"])["late"] = Late()


def log_for_ever() -> None:
    while True:
        rr.log("daemon", image)
        begun.release()


begun = threading.Semaphore(0)
for _ in range(4):
    threading.Thread(target=log_for_ever, daemon=True).start()
begun.acquire()
