"""A user's program: it does as its actions say.

Usage: blueprints.py FILE ACTIONS [URL]. `rows` logs 100 rows, `kill` kills the worker, other words send a blueprint.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import rerun_mp as rr
import rerun_mp.blueprint as rrb
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_blueprints")
if len(sys.argv) > 3:
    rr.set_sinks(rr.FileSink(sys.argv[1]), rr.GrpcSink(sys.argv[3]))
else:
    rr.save(sys.argv[1])


def in_child(call: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def rows(name: str) -> None:
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log(name, rr.Scalars(float(step)))
    rr.flush()


def kill() -> None:
    joined = current.session()
    assert joined is not None
    words = joined.segment.ring.words
    lives = words[Header.WORKER_LIVES]
    os.kill(words[Header.WORKER_PID], signal.SIGKILL)
    while words[Header.WORKER_LIVES] == lives:
        joined.watch_collector()


for action in sys.argv[2].split():
    if action == "rows":
        rows(f"rows/{len(os.listdir('/proc/self/fd'))}")
    elif action == "kill":
        kill()
    else:
        view = rrb.TimeSeriesView(origin=action) if action != "active" else rrb.Spatial3DView(origin=action)
        send = partial(rr.send_blueprint, rrb.Blueprint(view), make_active=action == "active", make_default=True)
        in_child(send)
        rr.flush()
