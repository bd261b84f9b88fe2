"""A usual program: `python usual.py PACKAGE FIRST.rrd SECOND.rrd`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import numpy as np

rr: Any = import_module(sys.argv[1])

rr.init("rerun_example_parity", recording_id="fixed")
rr.save(sys.argv[2])
rr.log("static", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
rr.set_log_tick_enabled(True)
random = np.random.default_rng(0)
for step in range(5):
    rr.set_time("step", sequence=step)
    rr.set_time("elapsed", duration=0.25 * step)
    rr.log("loss/train", rr.Scalars(1.0 / (step + 1)))
    rr.log(["cloud", "of points", step], rr.Points3D(random.random((step, 3)), radii=[0.1]))
    rr.log("/image", rr.Image(random.integers(0, 255, (4, 6, 3), dtype=np.uint8)), rr.AnyValues(n=step))
rr.disable_timeline("elapsed")
rr.log("log", rr.TextLog("done", level="INFO"))
rr.reset_time()
rr.set_log_time_enabled(False)
rr.log("log", rr.TextLog("no time"))
times = [rr.TimeColumn("t", timestamp=[1.0, 2.0]), rr.TimeColumn("i", sequence=[1, 2])]
rr.send_columns("columns", times, rr.Scalars.columns(scalars=[1.0, 2.0]))
with rr.RecordingStream("another", recording_id="second") as recording:
    recording.save(sys.argv[3])
    recording.set_time("x", sequence=1)
    rr.log("inside", rr.Scalars(1.0))
rr.disconnect()
