"""Rerun's own functions accept fast archetypes wherever they accept rerun's."""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np
import rerun as theirs
import rerun.blueprint as rrb
from rerun.archetypes import Scalars as TheirScalars
from rerun.blueprint.api import create_in_memory_blueprint

import rerun_mp as rr
from tests.harness.rerun_names import RrdReader

POSITIONS = np.zeros((3, 3), np.float32)


def test_rerun_logs_fast_archetypes(place: Path) -> None:
    path = place / "theirs.rrd"
    recording = theirs.RecordingStream("app", send_properties=False)
    recording.save(path)
    theirs.log("one", rr.Scalars(1.0), recording=recording, strict=True)
    theirs.log("two", rr.TextLog("text"), rr.Points3D(POSITIONS), recording=recording, strict=True)
    recording.disconnect()
    columns = {name for chunk in RrdReader(path).stream() for name in chunk.to_record_batch().schema.names}
    assert {"Scalars:scalars", "TextLog:text", "Points3D:positions"} <= columns


def test_blueprints_accept_fast_archetypes() -> None:
    points: Any = rr.Points3D
    for given in (points(POSITIONS), [points(POSITIONS)], points(POSITIONS).visualizer()):
        view = rrb.Spatial3DView(overrides={"entity": given}, defaults=[points(POSITIONS)])
        assert create_in_memory_blueprint(application_id="app", blueprint=rrb.Blueprint(view))


def test_singledispatch_and_patterns_find_reruns_class() -> None:
    @singledispatch
    def kind(_: object) -> str:
        return "another"

    kind.register(TheirScalars, lambda _: "scalars")
    assert [kind(rr.Scalars(1.0)), kind(rr.Scalars([1.0])), kind(rr.TextLog("x"))] == ["scalars", "scalars", "another"]
    ours: Any = rr.Scalars
    match rr.Scalars(0.5):
        case ours(scalars):
            assert scalars == theirs.Scalars(0.5).scalars
