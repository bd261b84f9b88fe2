"""Modules of a robot, each a process of its own that says `import rerun`, as dimos starts them."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import rerun as rr

STEPS = 50


def lidar() -> None:
    """Log clouds, and be killed."""
    for step in range(STEPS):
        rr.set_time("tick", sequence=step)
        rr.log("world/lidar", rr.Points3D(np.random.default_rng(step).random((200, 3)), colors=[0, 200, 255]))
    os.kill(os.getpid(), signal.SIGKILL)


def odometry() -> None:
    """Log poses, and leave without a goodbye."""
    for step in range(STEPS):
        rr.set_time("tick", sequence=step)
        rr.log("world/robot", rr.Transform3D(translation=[step / 10, 0, 0]), rr.Arrows3D(vectors=[[1, 0, 0]]))
        rr.log("speed", rr.Scalars(step / STEPS))
    os._exit(0)


def camera() -> None:
    """Log images."""
    for step in range(STEPS):
        rr.set_time("tick", sequence=step)
        rr.log("world/camera", rr.Image(np.full((48, 64, 3), step, np.uint8)).compress(jpeg_quality=75))


if __name__ == "__main__":
    rr.init("dimos_like", spawn=False)
    rr.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    modules = [multiprocessing.get_context("fork").Process(target=module) for module in (lidar, odometry, camera)]
    for module in modules:
        module.start()
    for module in modules:
        module.join()
    print("logged", 1 + 4 * STEPS)
