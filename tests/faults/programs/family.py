"""A founder, a child that sets a sink and is killed, a grandchild, and a sibling; see tests/faults/test_scope.py.

Usage: family.py METHOD DIRECTORY. Each process logs `ALL` rows on an entity of its own, in tables and in frames.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable

import rerun_mp as rr

ROWS = 20
ALL = ROWS + 1


def log(name: str) -> None:
    """Log rows that go into a table, and one that goes into a frame."""
    for step in range(ROWS):
        rr.log(name, rr.Scalars(float(step)))
    rr.log(name, rr.AnyValues(last=True))


def start(function: Callable[[str, str], None], method: str, place: str) -> None:
    """Run a function in a process, and wait for its end."""
    process = multiprocessing.get_context(method).Process(target=function, args=(method, place))  # type: ignore[attr-defined]
    process.start()
    process.join()


def grandchild(method: str, place: str) -> None:
    """Log in the child's scope."""
    log("grandchild")


def inner(method: str, place: str) -> None:
    """Log in a scope within the child's."""
    rr.save(f"{place}/inner.rrd")
    log("inner")


def child(method: str, place: str) -> None:
    """Set a sink between rows, and be killed."""
    log("child/before")
    rr.save(f"{place}/child.rrd")
    log("child/after")
    if multiprocessing.current_process().daemon is False:
        start(grandchild, method, place)
        start(inner, method, place)
    log("child/last")
    os.kill(os.getpid(), signal.SIGKILL)


def sibling(method: str, place: str) -> None:
    """Log beside the child's scope."""
    log("sibling")


if __name__ == "__main__":
    rr.init("rerun_mp_scope")
    rr.save(f"{sys.argv[2]}/whole.rrd")
    log("founder")
    start(child, *sys.argv[1:])
    start(sibling, *sys.argv[1:])
    print(sorted(sink.target for sink in rr.statistics().sinks), flush=True)
