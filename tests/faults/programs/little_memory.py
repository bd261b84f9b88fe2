"""Two workers log numbers and images with little shared memory: little_memory.py FILE IMAGES FILLED.

FILLED is `filled` if another program takes all shared memory that the session has not reserved.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import sys

import numpy as np

import rerun_mp as rr


def work(number: int, images: int) -> None:
    image = np.full((480, 640, 3), number, dtype=np.uint8)
    for step in range(images):
        rr.set_time("step", sequence=step)
        rr.log(f"scalar/{number}", rr.Scalars(float(step)))
        rr.log(f"image/{number}", rr.Image(image))


def fill() -> None:
    with open("/dev/shm/other", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(65536)) == 65536:
            pass


def main(path: str, images: str, filled: str) -> None:
    rr.init("rerun_mp_little")
    rr.save(path)
    if filled == "filled":
        fill()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number, int(images))) for number in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]


if __name__ == "__main__":
    main(*sys.argv[1:])
