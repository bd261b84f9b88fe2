"""Poses of Project Aria's glasses, converted by its tools in a pool of processes."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
from projectaria_tools.core.sophus import SE3
from projectaria_tools.utils.rerun_helpers import ToTransform3D

import rerun_mp as rr

POSES, WORKERS = 100, 3


def track(number: int) -> None:
    """Log the trajectory of one recording."""
    for step in range(POSES):
        angle = np.array([0.0, 0.0, step / POSES])
        pose = SE3.from_quat_and_translation(np.cos(angle[2] / 2), np.sin(angle / 2), np.array([step, number, 0.0]))
        rr.set_time("device_time", duration=step / 30)
        rr.log(f"world/device_{number}", ToTransform3D(pose, False))


if __name__ == "__main__":
    rr.init("aria", spawn=False, send_properties=False)
    rr.save(sys.argv[1])
    with multiprocessing.Pool(WORKERS) as pool:
        pool.map(track, range(WORKERS))
    print("logged", POSES * WORKERS)
