"""`save`, `spawn` and `flush` in wrong calls; tests/session and tests/viewers follow rows to their sinks."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import recordings_in, rows_of, verify


def test_an_unwritable_path_raises_and_the_sinks_stay(run_python: RunPython, place: Path) -> None:
    run_python(
        """
        import os, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        try:
            rr.save(os.path.join(sys.argv[1] + ".missing", "run.rrd"))
        except OSError as error:
            assert "missing" in str(error)
        else:
            raise AssertionError
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert len(rows_of(sys.argv[1])) == 1
        """,
        place / "run.rrd",
    ).check()


def test_without_a_display_spawn_says_what_to_do_and_changes_nothing(run_python: RunPython, place: Path) -> None:
    finished = run_python(
        """
        import sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of
        rr.init("app")
        rr.save(sys.argv[1])
        rr.spawn(port=19)
        rr.log("x", rr.Scalars(1.0))
        rr.disconnect()
        assert "x" in [row.entity_path for row in rows_of(sys.argv[1])]
        """,
        place / "run.rrd",
        env={"DISPLAY": None, "WAYLAND_DISPLAY": None},
    ).check()
    assert "headless=True" in finished.stderr


def test_flush_refuses_a_wrong_timeout(run_python: RunPython) -> None:
    run_python("""
        import rerun_mp as rr
        rr.init("app")
        rr.log("x", rr.Scalars(1.0))
        rr.flush(timeout_sec=0)
        rr.get_data_recording().flush(timeout_sec=30)
        for wrong, error in ((-1, ValueError), (float("nan"), ValueError), ("5", TypeError)):
            try:
                rr.flush(timeout_sec=wrong)
            except error:
                continue
            raise AssertionError(wrong)
    """).check()


def steps_in(path: Path, recording_id: str | None = None) -> list[int]:
    """Return the steps of a recording's rows, sorted."""
    verify(path)
    return sorted(row.times["step"] for row in rows_of(path, recording_id=recording_id))


def test_each_of_several_files_has_all_rows_that_came_while_it_was_set(run_python: RunPython, tmp_path: Path) -> None:
    """It begins and ends whatever the other files do, and has the rows that came before any sink, each time."""
    run_python(
        """
        import sys
        import rerun_mp as rr

        def log(step):
            rr.set_time("step", sequence=step)
            rr.log("x", rr.Scalars(1.0))

        rr.init("rerun_mp_files")
        first, second, third = (rr.FileSink(f"{sys.argv[1]}/{name}.rrd") for name in ("first", "second", "third"))
        log(0)
        rr.set_sinks(first, second)
        log(1)
        rr.set_sinks(second)
        log(2)
        rr.set_sinks(second, third)
        log(3)
        rr.disconnect()
        log(4)
        rr.set_sinks(rr.FileSink(f"{sys.argv[1]}/fourth.rrd"), third)
        log(5)
        """,
        tmp_path,
    ).check()
    expected = {"first": [0, 1], "second": [0, 1, 2, 3], "third": [4, 5], "fourth": [4, 5]}
    assert {name: steps_in(tmp_path / f"{name}.rrd") for name in expected} == expected
    assert len(list(tmp_path.glob("*.rrd"))) == len(expected), "no file was set aside"


ADDS = """
import sys
import rerun_mp as rr
directory, first, second = sys.argv[1:]
with rr.RecordingStream("rerun_mp_files", recording_id="now") as recording:
    rr.set_sinks(rr.FileSink(f"{directory}/{first}.rrd"), rr.FileSink(f"{directory}/{second}.rrd", mode="append"))
    for step in (1, 2):
        rr.set_time("step", sequence=step)
        rr.log("x", rr.Scalars(1.0))
        with recording:
            pass
"""


def test_a_file_that_is_added_to_beside_another_has_each_row_once(run_python: RunPython, tmp_path: Path) -> None:
    """Both are completed for readers twice before their end; neither gets what the other one had before."""
    former, kept, fresh = (tmp_path / f"{name}.rrd" for name in ("former", "kept", "fresh"))
    run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("rerun_mp_files", recording_id="before")
        rr.save(sys.argv[1])
        rr.set_time("step", sequence=0)
        rr.log("x", rr.Scalars(1.0))
        """,
        kept,
    ).check()
    former.write_bytes(kept.read_bytes())
    run_python(ADDS, tmp_path, "fresh", "kept").check()
    assert steps_in(fresh) == [1, 2]
    assert [recording_id for _, recording_id in recordings_in(kept)] == ["before", "now"]
    assert steps_in(kept, "before") == steps_in(former)
    assert steps_in(kept, "now") == [1, 2]
