"""A user's program with names of old releases. Usage: old_names.py FILE. Prints its warnings to standard error."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import rerun_mp

rr: Any = rerun_mp  # the type checker does not know the old names

warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    rr.init("old", None, False, True, True, False, False, True)
    rr.save(sys.argv[1])
    rr.set_time_sequence("frame", 7)
    rr.log("scalar", rr.Scalar(1.5))
    rr.set_time_seconds("stamp", 2.5)
    rr.set_time_nanos("nanos", 3)
    rr.log("series", rr.TimeSeriesScalar(2.5, label="name", color=[255, 0, 0]))
    rr.reset_time()
    if os.fork() == 0:
        rr.set_time_sequence("child", 1)
        rr.log_components("child", [rr.components.Position3DBatch([[1, 2, 3]])])
        os._exit(0)
    os.wait()
    rr.log_components("static", rr.Points3D([[1, 2, 3]]).as_component_batches(), timeless=True)
    rr.log("line", rr.SeriesLine(width=2.0, name="line"), static=True)
    rr.log("point", rr.SeriesPoint(marker="circle", marker_size=3.0), static=True)
    rr.log("nowhere", rr.DisconnectedSpace())
    rr.log("raw", rr.ImageEncoded(contents=bytes(24), format=rr.ImageFormat.NV12((4, 4))))
    rr.log("png", rr.ImageEncoded(contents=b"png", format=rr.ImageFormat.PNG))
    rr.send_columns("columns", [rr.TimeSequenceColumn("step", [1, 2])], rr.Scalar.columns(scalar=[1.0, 2.0]))
    rr.send_columns("seconds", [rr.TimeSecondsColumn("stamp", [1.5])], rr.Scalars.columns(scalars=[1.0]))
    rr.send_columns("nanos", [rr.TimeNanosColumn("stamp", [5])], rr.Scalars.columns(scalars=[1.0]))
    recording = rr.get_global_data_recording()
    recording.set_time_sequence("method", 3)
    recording.log_components("method", rr.Scalars(1.0).as_component_batches())
    assert rr.datatypes.Vec3D
# From 3.12 on, Python itself warns about a fork beside rerun-sdk's threads.
ours = [warning for warning in caught if "use of fork()" not in str(warning.message)]
assert all(warning.category is DeprecationWarning for warning in ours), [str(warning.message) for warning in ours]
assert {warning.filename for warning in ours} == {__file__}
print(*[str(warning.message) for warning in ours], sep="\n", file=sys.stderr)
assert len(ours) == 18
