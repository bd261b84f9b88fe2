"""Rows of any archetype in tables are the rows that rerun writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import rerun

import rerun_mp as rr
from rerun_mp.api.column_rows import combined, row_of_arrays
from tests.conftest import RunPython
from tests.harness.recordings import rows_of
from tests.parity.test_program import comparable

PROGRAM = Path(__file__).with_name("programs") / "tables.py"


def test_archetypes_that_are_logged_often_write_the_same_rows(run_python: RunPython, place: Path) -> None:
    found = {}
    for package in ("rerun", "rerun_mp"):
        run_python(PROGRAM, package, place / f"{package}.rrd").check()
        rows = comparable(rows_of(place / f"{package}.rrd"))
        found[package] = [row for row in rows if row[0].strip("/") != "__warnings"]
    assert found["rerun_mp"] == found["rerun"]
    assert len(found["rerun"]) > 500


def test_several_fast_archetypes_become_one_row_in_the_order_of_the_names() -> None:
    points: Any = rr.Points3D([[1, 2, 3]], radii=1.0)
    row = combined(rr.Scalars(2.5), [points, rr.TextLog("text")])
    names = [component.name for component in row._layout.components]
    assert names == ["Points3D:positions", "Points3D:radii", "Scalars:scalars", "TextLog:text"]
    assert [len(block) for block in row._blocks] == [12, 4, 8, 4, 4]
    assert combined(points, [rr.Scalars(1.0)])._layout is combined(points, [rr.Scalars(2.0)])._layout


def test_rows_that_rerun_must_judge_are_not_combined() -> None:
    points: Any = rr.Points3D([[1, 2, 3]])
    assert combined(points, [points]) is None
    assert combined(points, [rr.Points3D]) is None
    assert combined(points, [rerun.Points3D([[1, 2, 3]])]) is None
    assert combined(points, [rr.Points2D([[1, 2]], keypoint_ids=1)]) is None


def test_arrays_that_a_table_cannot_hold_are_left_to_frames() -> None:
    descriptors = [rerun.ComponentDescriptor(name) for name in ("b", "a")]
    row = row_of_arrays(descriptors, [pa.array([1, 2]), pa.array(["text"])])
    assert row is not None
    assert [component.name for component in row._layout.components] == ["a", "b"]
    assert row_of_arrays(descriptors, [pa.array([1, None]), pa.array([1])]) is None
    assert row_of_arrays(descriptors[:1] * 2, [pa.array([1]), pa.array([1])]) is None
    assert row_of_arrays(descriptors[:1], [pa.array([None])]) is None


FEW_ROWS = """
    import sys
    import numpy as np
    rr = __import__(sys.argv[1])
    rr.init("app", recording_id="few")
    rr.save(sys.argv[2])
    rr.log("still", rr.Boxes3D(half_sizes=[[1, 2, 3]], labels=["a box"]), static=True)
    for step in range(2):
        rr.set_time("step", sequence=step)
        rr.log("points", rr.Points3D(np.ones((3, 3)), colors=[[255, 0, 0]], radii=0.5))
        rr.log("both", rr.Scalars([0.5, 1.5]), rr.TextLog("text"))
    print([name for name in ("rerun", "rerun_bindings", "pyarrow") if name in sys.modules])
"""


def test_a_program_of_few_rows_loads_neither_rerun_nor_pyarrow(run_python: RunPython, place: Path) -> None:
    for package in ("rerun", "rerun_mp"):
        done = run_python(FEW_ROWS, package, place / f"{package}.rrd", fresh=True).check()
    assert done.stdout.strip() == "[]"
    ours, theirs = (comparable(rows_of(place / f"{package}.rrd")) for package in ("rerun_mp", "rerun"))
    assert ours == theirs


def test_constants_of_view_coordinates_are_rows(run_python: RunPython, place: Path) -> None:
    program = """
        import sys
        rr = __import__(sys.argv[1])
        rr.init("app", recording_id="constants")
        rr.save(sys.argv[2])
        for step in range(8):
            rr.set_time("step", sequence=step)
            rr.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=step % 2 == 0)
            rr.log("camera", rr.ViewCoordinates.RDF)
    """
    for package in ("rerun", "rerun_mp"):
        run_python(program, package, place / f"{package}.rrd").check()
    ours, theirs = (comparable(rows_of(place / f"{package}.rrd")) for package in ("rerun_mp", "rerun"))
    assert ours == theirs
