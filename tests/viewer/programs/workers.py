"""A user's program: workers log curves, images and text to a viewer, and one worker is killed.

Usage: workers.py METHOD URL [FILE]. Some rows are logged before the first sink is set. Prints how many calls of the
killed worker returned.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from typing import Any

import numpy as np

import rerun_mp as rr

APPLICATION = "rerun_mp_viewer"
WORKERS = 3
STEPS = 200
IMAGES = 5
EARLY = 50
ENOUGH = 300
"""Calls after which the endless worker is killed."""


def work(worker: int) -> None:
    """Log a fixed number of rows, and return."""
    for step in range(STEPS):
        rr.set_time("step", sequence=step)
        rr.log(f"worker_{worker}/curve", rr.Scalars(float(np.sin(step / 20 + worker))))
        if step % (STEPS // IMAGES) == 0:
            rr.log(f"worker_{worker}/image", rr.Image(np.full((48, 64, 3), (step, 80 * worker, 128), np.uint8)))
            rr.log(f"worker_{worker}/text", rr.TextLog(f"worker {worker} is at step {step}"))


def work_until_killed(returned: Any) -> None:
    """Log without end, and count the calls that return."""
    while True:
        rr.set_time("beat", sequence=returned.value)
        rr.log("victim/curve", rr.Scalars(float(returned.value)))
        returned.value += 1


def main() -> None:
    """Run the workers."""
    method, url, *files = sys.argv[1:]
    context: Any = multiprocessing.get_context(method)
    rr.init(APPLICATION)
    for step in range(EARLY):
        rr.set_time("step", sequence=step)
        rr.log("early", rr.Scalars(float(step)))
    if files:
        rr.set_sinks(rr.GrpcSink(url), *(rr.FileSink(path) for path in files))
    else:
        rr.connect_grpc(url)
    returned = context.RawValue("Q", 0)
    victim = context.Process(target=work_until_killed, args=(returned,))
    victim.start()
    processes = [context.Process(target=work, args=(worker,)) for worker in range(WORKERS)]
    for process in processes:
        process.start()
    while returned.value < ENOUGH and victim.is_alive():
        victim.join(0.001)
    os.kill(victim.pid, signal.SIGKILL)
    for process in (victim, *processes):
        process.join()
    assert [process.exitcode for process in (victim, *processes)] == [-signal.SIGKILL, 0, 0, 0]
    print(returned.value)


if __name__ == "__main__":
    main()
