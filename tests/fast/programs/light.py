"""Make and pickle fast archetypes, and print which heavy modules are loaded by then."""

from __future__ import annotations

import pickle
import sys
from typing import Any

import numpy as np

import rerun_mp as rr

frame = np.zeros((4, 6, 3), np.uint8)
made: list[Any] = [
    rr.Scalars(0.5),
    rr.Scalars(np.float32(3)),
    rr.TextLog("text", level="INFO"),
    rr.Points3D(np.zeros((3, 3))),
    rr.Points2D(np.zeros((3, 2), np.float32)),
    rr.Transform3D(translation=np.zeros(3), quaternion=(0, 0, 0, 1)),  # type: ignore[arg-type]  # rerun takes it
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

import rerun  # noqa: E402 (only now)

assert isinstance(made[0], rerun.Scalars)
assert isinstance(rerun.Scalars(1.0), rr.Scalars)
assert made[6] == rerun.Image(frame, "BGR")
