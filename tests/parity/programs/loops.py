"""Loops in which calls change their arguments, so that no call may depend on the one before it.

`python loops.py PACKAGE FILE.rrd`
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

rr: Any = import_module(sys.argv[1])

rr.init("loops", recording_id="fixed")
rr.save(sys.argv[2])
for step in range(40):
    rr.set_time("step", sequence=step)
    if step % 10 == 5:
        rr.set_time("elapsed", duration=step)
    if step % 10 == 9:
        rr.disable_timeline("elapsed")
    rr.log("loss", rr.Scalars(step))
    rr.log("loss", rr.Scalars([step, 1.0] if step % 4 == 0 else 0.5 * step))
    rr.log("text", rr.TextLog("a", level=[None, "INFO", "WARN"][step % 3]))
    rr.log("points", rr.Points3D(np.full((1 + step // 3 % 2, 3), step)))
    rr.log("points", rr.Points2D(np.full((2, 2), step, np.float32)))
    rr.log(
        "pose",
        rr.Transform3D(
            translation=[step, 0.5, 1] if step % 3 else np.full(3, step),
            quaternion=rr.Quaternion(xyzw=[0, 0, 0, 1]) if step % 2 else None,
            mat3x3=np.arange(step, step + 9) * 1.0 if step % 7 == 0 else None,
            scale=step if step % 4 == 0 else None,
            relation=rr.TransformRelation.ChildFromParent if step % 5 == 0 else None,
        ),
    )
    if step % 3 == 0:
        rr.log("pose", rr.Transform3D(rotation=rr.RotationAxisAngle([0, 0, 1], degrees=step), child_frame="a"))
