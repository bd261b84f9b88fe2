"""Make and pickle fast archetypes, and print which heavy modules are loaded by then."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np

import rerun_mp as rr
from rerun_mp.utilities import build_color_spiral

points, colors = build_color_spiral(10)
frame = np.zeros((4, 6, 3), np.uint8)
made: list[Any] = [
    rr.Scalars(0.5),
    rr.Scalars(np.float32(3)),
    rr.TextLog("text", level="INFO"),
    rr.Points3D(np.zeros((3, 3))),
    rr.Points2D(np.zeros((3, 2), np.float32)),
    rr.Transform3D(translation=np.zeros(3), quaternion=(0, 0, 0, 1)),  # type: ignore[arg-type]  # rerun takes it
    rr.Transform3D(rotation=rr.RotationAxisAngle([0, 0, 1], degrees=30)),
    rr.Transform3D(rotation=rr.Quaternion(xyzw=[0, 0, 0, 1])),
    rr.TextDocument("text", media_type=rr.MediaType.MARKDOWN),
    rr.Points3D(points, colors=colors),
    rr.Image(frame, "BGR"),
    rr.DepthImage(frame[..., 0], meter=1.0),
    rr.SegmentationImage(frame[..., 0]),
    rr.EncodedImage(contents=b"png", media_type="image/png"),
    rr.Tensor(frame),
]
made = pickle.loads(pickle.dumps(made))
assert all(one._fast_kind and isinstance(one, type(one)) for one in made)
assert not isinstance(made[0], rr.TextLog)
print([name for name in ("rerun", "rerun_bindings", "pyarrow") if name in sys.modules])

import rerun.utilities  # noqa: E402 (only now)

assert isinstance(made[0], rerun.Scalars)
assert isinstance(rerun.Scalars(1.0), rr.Scalars)
assert made[10] == rerun.Image(frame, "BGR")
assert rerun.utilities is sys.modules["rerun_mp.utilities"]
