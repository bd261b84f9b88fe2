"""A program that changes its import line, and nothing else, writes the rows that it wrote before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import Row, rows_of

PROGRAM = """
    import sys
    import numpy as np
    rr = __import__(sys.argv[1])

    rr.init("rerun_example_parity", recording_id="fixed")
    rr.save(sys.argv[2])
    rr.log("static", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    rr.set_log_tick_enabled(True)
    for step in range(5):
        rr.set_time("step", sequence=step)
        rr.set_time("elapsed", duration=0.25 * step)
        rr.log("loss/train", rr.Scalars(1.0 / (step + 1)))
        rr.log(["cloud", "of points", step], rr.Points3D(np.random.rand(step, 3), radii=[0.1]))
        rr.log("/image", rr.Image(np.random.randint(0, 255, (4, 6, 3), dtype=np.uint8)), rr.AnyValues(n=step))
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
"""

LOOPS = """
    import sys
    import numpy as np
    rr = __import__(sys.argv[1])

    rr.init("loops", recording_id="fixed")
    rr.save(sys.argv[2])
    for step in range(40):
        # What one call says must not depend on what the calls before it said.
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
        rr.log("pose", rr.Transform3D(
            translation=[step, 0.5, 1] if step % 3 else np.full(3, step),
            quaternion=rr.Quaternion(xyzw=[0, 0, 0, 1]) if step % 2 else None,
            mat3x3=np.arange(step, step + 9) * 1.0 if step % 7 == 0 else None,
            scale=step if step % 4 == 0 else None,
            relation=rr.TransformRelation.ChildFromParent if step % 5 == 0 else None,
        ))
        if step % 3 == 0:
            rr.log("pose", rr.Transform3D(rotation=rr.RotationAxisAngle([0, 0, 1], degrees=step), child_frame="a"))
"""


def comparable(rows: list[Row]) -> list[tuple[str, dict[str, int], dict[str, Any]]]:
    """Return what must be equal: all but ids and clocks, in one order."""
    seen = []
    for row in rows:
        times = {name: 0 if name == "log_time" else time for name, time in row.times.items()}
        components = {
            name: (str(value.type), value.as_py()) for name, value in row.components.items() if value.is_valid
        }
        components.pop("RecordingInfo:start_time", None)
        seen.append((row.entity_path, times, components))
    return sorted(seen, key=repr)


@pytest.mark.parametrize("which", ["first.rrd", "second.rrd"])
def test_both_write_the_same_rows(run_python: RunPython, place: Path, which: str) -> None:
    for package in ("rerun", "rerun_mp"):
        (place / package).mkdir()
        run_python(PROGRAM, package, place / package / "first.rrd", place / package / "second.rrd").check()
    theirs, ours = (comparable(rows_of(place / package / which, properties=True)) for package in ("rerun", "rerun_mp"))
    assert ours == theirs
    assert len(ours) > 1


def test_loops_write_the_same_rows(run_python: RunPython, place: Path) -> None:
    for package in ("rerun", "rerun_mp"):
        run_python(LOOPS, package, place / f"{package}.rrd").check()
    theirs, ours = (comparable(rows_of(place / f"{package}.rrd")) for package in ("rerun", "rerun_mp"))
    assert ours == theirs
    assert len(ours) == 254
