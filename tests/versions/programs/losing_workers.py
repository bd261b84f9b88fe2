"""Workers log rows, say how many of them `log` has accepted, and die. Usage: losing_workers.py SINK METHOD DEATH."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from typing import Any

import numpy as np

import rerun_mp as rr
from tests.harness.programs import wait_until

WORKERS, STEPS = 2, 20


def work(number: int, death: str, connection: Any) -> None:
    """Log every kind of row on entities of this worker's own, and die."""
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        rr.log(f"scalar/{number}", rr.Scalars(step))
        rr.log(f"text/{number}", rr.TextLog(f"row {step}", level="INFO"))
        rr.log(f"points/{number}", rr.Points3D(np.full((10, 3), step), colors=[255, 0, 0], radii=0.1))
        rr.log(f"transform/{number}", rr.Transform3D(translation=[step, 0, 0]))
        rr.log(f"boxes/{number}", rr.Boxes3D(half_sizes=[[1, 2, step + 1]]))
        rr.log(f"image/{number}", rr.Image(np.full((8, 8, 3), step, np.uint8)))
        rr.log(f"any value/{number}", rr.AnyValues(value=step))
    rr.send_columns(
        f"column/{number}", [rr.TimeColumn("step", sequence=[1, 2])], rr.Scalars.columns(scalars=[1.0, 2.0])
    )
    connection.send(STEPS)
    if death == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif death == "exited":
        os._exit(1)


def acknowledged() -> int:
    """Return the rows that the program's sink has answered for."""
    return sum(sink.acknowledged_rows or 0 for sink in rr.statistics().sinks)


if __name__ == "__main__":
    sink, method, death = sys.argv[1:]
    rr.init("rerun_mp_versions")
    if sink.startswith("rerun+http"):
        rr.connect_grpc(sink)
    else:
        rr.save(sink)
    context: Any = multiprocessing.get_context(method)
    for number in range(WORKERS):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(number, death, theirs))
        process.start()
        theirs.close()
        assert ours.recv() == STEPS
        process.join()
    if sink.startswith("rerun+http"):
        logged = WORKERS * (7 * STEPS + 2)
        wait_until(lambda: acknowledged() >= logged, what="the sink to acknowledge every row")
        print(acknowledged())
