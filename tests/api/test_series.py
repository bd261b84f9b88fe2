"""`series`: its rows equal those of `log` with `Scalars`, in every thread, forked child and recording."""

from __future__ import annotations

from pathlib import Path

import pytest

import rerun_mp as rr
from tests.conftest import RunPython
from tests.harness.recordings import rows_of

PROGRAMS = Path(__file__).with_name("programs")

SAME = PROGRAMS / "series_beside_log.py"


def test_its_rows_equal_those_of_log(run_python: RunPython, place: Path) -> None:
    path = place / "out.rrd"
    run_python(SAME, path).check()
    made: dict[str, list[object]] = {"log": [], "series": []}
    # Tables of different timelines may stand in the file in another order than that of the calls.
    for row in sorted(rows_of(path), key=lambda row: row.row_id):
        times = {name: time for name, time in row.times.items() if name != "log_time"}
        data = {name: (str(value.type), str(value)) for name, value in row.components.items()}
        made[row.entity_path].append(("log_time" in row.times, times, data))
    assert made["series"] == made["log"]
    assert len(made["log"]) == 4016


def test_series_refuses_what_log_refuses_at_the_users_line(run_python: RunPython, place: Path) -> None:
    run_python(PROGRAMS / "wrong_series_values.py").check()


def test_its_rows_go_to_the_recording_that_log_uses(run_python: RunPython, place: Path) -> None:
    """The active recording is looked up at each call, in the calling thread, unless one was named."""
    run_python(
        PROGRAMS / "series_recordings.py",
        place,
    ).check()

    def read(recording: str) -> list[tuple[float, dict[str, int]]]:
        rows = [row for row in rows_of(place / f"{recording}.rrd") if row.entity_path == "number"]
        for row in rows:
            del row.times["log_time"]
        return sorted(((row.components["Scalars:scalars"].as_py()[0], row.times) for row in rows), key=str)

    def expected(*logged: tuple[float, str]) -> list[tuple[float, dict[str, int]]]:
        return sorted(((value, {name: step}) for value, name in logged for step in range(100)), key=str)

    assert read("main") == expected((1.0, "thread"), (5.0, "main"), (6.0, "main"))
    assert read("own") == expected((3.0, "own"))
    assert read("named") == [(2.0, {})] * 100 + [(4.0, {}), (7.0, {"late": 1})]


def test_a_fork_keeps_it_and_threads_share_it(run_python: RunPython, place: Path) -> None:
    path = place / "out.rrd"
    run_python(
        PROGRAMS / "series_forks.py",
        path,
    ).check()
    rows = rows_of(path)
    values = [row.components["Scalars:scalars"].as_py()[0] for row in rows]
    assert sorted(values) == [-1.0] * 20 + sorted([0.25] * 1000 + [float(step) for step in range(5000)] * 4)
    assert len({row.row_id for row in rows}) == len(rows)


def test_recordings_of_reruns_own_and_disabled_ones(run_python: RunPython, place: Path) -> None:
    path = place / "theirs.rrd"
    run_python(
        """
        import sys
        import rerun
        import rerun_mp as rr
        recording = rerun.RecordingStream("app", send_properties=False)
        recording.save(sys.argv[1])
        rr.series("number", recording=recording)(1.5)
        rr.series("number", recording=rr.RecordingStream("app", default_enabled=False))(2.5)
        recording.disconnect()
        """,
        path,
    ).check()
    assert [row.components["Scalars:scalars"].as_py() for row in rows_of(path)] == [[1.5]]


def test_a_wrong_path_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="entity_path"):
        rr.series(3)  # type: ignore[arg-type]


def test_it_loads_neither_rerun_nor_pyarrow(run_python: RunPython) -> None:
    program = """
        import sys
        import rerun_mp as rr
        rr.init("app")
        number = rr.series("number")
        for step in range(5):
            rr.set_time("step", sequence=step)
            number(0.5)
            number(step)
        print([name for name in ("rerun", "rerun_bindings", "numpy", "pyarrow") if name in sys.modules])
    """
    assert run_python(program, fresh=True).check().stdout.strip() == "[]"
