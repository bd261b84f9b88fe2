"""A pause stops all ways to log, in all processes of the session, and ends for all of them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAM = Path(__file__).with_name("programs") / "pausing.py"


def test_no_process_logs_between_pause_and_resume(run_python: RunPython, tmp_path: Path) -> None:
    """Forked and spawned workers, those that log already and one that begins in the pause, and the one that pauses."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAM, path).check()
    verify(path)
    rows = rows_of(path)
    values = [row.components["Scalars:scalars"].as_py() for row in rows if row.entity_path == "main"]
    assert values == [[1.0], [3.0]]
    for line in done.stdout.splitlines():
        way, settled, resumed, last = json.loads(line)
        calls = sorted(row.times["call"] for row in rows if row.entity_path == way)
        assert settled < resumed < last
        assert not [call for call in calls if settled < call <= resumed], way
        assert [call for call in calls if call > resumed][-1] == last, way
        before = [call for call in calls if call <= settled]
        assert (before == list(range(1, len(before) + 1))) if way != "send_columns" else before == []


def test_a_pause_concerns_one_recording(run_python: RunPython, tmp_path: Path) -> None:
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("x")
        rr.save(sys.argv[1])
        other = rr.new_recording("other")
        other.save(sys.argv[2])
        rr.pause(other)
        for number in range(100):
            rr.log("here", rr.Scalars(float(number)))
            rr.log("there", rr.Scalars(float(number)), recording=other)
        rr.resume(other)
        rr.log("there", rr.Scalars(1.0), recording=other)
        """,
        tmp_path / "x.rrd",
        tmp_path / "other.rrd",
    ).check()
    assert len(rows_of(tmp_path / "x.rrd")) == 100
    assert len(rows_of(tmp_path / "other.rrd")) == 1
