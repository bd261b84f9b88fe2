"""Forked and spawned workers log numbers through a window, and one of them asks for a snapshot.

Usage: black_box.py MODE WINDOW_SECS FILE SNAPSHOT. MODE is

- "ask": each worker asks for a snapshot of its own, SNAPSHOT.0, SNAPSHOT.1, when all have logged; the program ends.
- "die": the main process asks without waiting, and kills itself at once.
- "run": the workers log until they are killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing.synchronize import Barrier

import rerun_mp as rr

ROWS = 200


def work(number: int, mode: str, snapshot: str, together: Barrier) -> None:
    """Log one worker's rows."""
    together.wait()
    step = 0
    while step < ROWS or mode == "run":
        rr.set_time("step", sequence=step)
        rr.log(f"worker/{number}", rr.Scalars(float(step)))
        step += 1
        if mode == "run":
            time.sleep(0.001)
    together.wait()
    if mode == "ask":
        rr.snapshot(f"{snapshot}.{number}")


def main() -> None:
    """Run the workers."""
    mode, window, path, snapshot = sys.argv[1:]
    rr.init("black_box")
    rr.save(path, rotate=rr.Rotation(keep_last=float(window)))
    rr.log("robot", rr.TextDocument("static"), static=True)
    together = multiprocessing.get_context("spawn").Barrier(3)
    arguments = [(number, mode, snapshot, together) for number in range(2)]
    workers = [
        multiprocessing.get_context("fork").Process(target=work, args=arguments[0]),
        multiprocessing.get_context("spawn").Process(target=work, args=arguments[1]),
    ]
    for worker in workers:
        worker.start()
    together.wait()
    print("begun", flush=True)
    together.wait()
    if mode == "die":
        rr.snapshot(snapshot, wait=False)
        os.kill(os.getpid(), signal.SIGKILL)
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
