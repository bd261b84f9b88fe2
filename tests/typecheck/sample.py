"""A program as users write it, which a type checker accepts in its strictest mode, and what it has found out."""

from __future__ import annotations

from typing import assert_type

import numpy as np

import rerun_mp as rr
import rerun_mp.blueprint as rrb

__all__ = ["main"]


def main() -> None:
    """Log a little."""
    rr.init("rerun_mp_typed", spawn=False, default_blueprint=rrb.Blueprint(rrb.Spatial3DView(origin="/")))
    recording = rr.RecordingStream("rerun_mp_typed", make_default=True)
    points = rr.Points3D(np.zeros((3, 3)), radii=0.5)
    rr.log("points", points, static=True, recording=recording)
    recording.log("points", points, rr.AnyValues(confidence=0.5))
    recording.send_property("situation", rr.AnyValues(weather="rain"))
    rr.send_columns("loss", [rr.TimeColumn("step", sequence=[1])], rr.Scalars.columns(scalars=[0.5]))
    rr.set_sinks(rr.FileSink("run.rrd"), rr.GrpcSink())
    url = rr.serve_grpc(grpc_port=0)
    assert_type(points, rr.Points3D)
    assert_type(rr.Transform3D(translation=[1, 2, 3]), rr.Transform3D)
    assert_type(rr.components.Color(0xFF), rr.components.Color)
    assert_type(url, str)
    assert_type(rr.serve_web_viewer(connect_to=url), str)
    assert_type(rr.get_recording_id(), str | None)
    assert_type(rr.memory_recording().num_msgs(), int)
    assert_type(rr.statistics(), rr.Statistics)
    with recording as entered:
        assert_type(entered, rr.RecordingStream)
