"""Files that are complete for readers before their session has ended, and go on."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")


def run(run_python: RunPython, tmp_path: Path, action: str) -> None:
    """Let workers log on after their parent's files are complete, and check the files at the program's end."""
    paths = [tmp_path / "one.rrd", tmp_path / "two.rrd"]
    run_python(PROGRAMS / "logging_after_completion.py", action, *paths).check()
    for path in paths:
        verify(path)
        assert len(rows_of(path)) == 201 + (action == "kill")
    assert sorted(path.name for path in tmp_path.glob("*.rrd*")) == ["one.rrd", "two.rrd"]
    assert not list(tmp_path.glob(".*rmp*"))


def test_rows_logged_after_a_with_block_are_in_the_files_in_the_end(run_python: RunPython, tmp_path: Path) -> None:
    """The end of the block completes both files, so that they can be read then."""
    run(run_python, tmp_path, "none")


def test_the_last_handle_of_one_process_closes_nothing_that_another_uses(run_python: RunPython, tmp_path: Path) -> None:
    run(run_python, tmp_path, "drop")


def test_a_collector_killed_before_and_after_joins_the_parts(run_python: RunPython, tmp_path: Path) -> None:
    """The files have parts of three collectors then, and are whole each time."""
    run(run_python, tmp_path, "kill")


def test_a_file_is_complete_once_the_last_handle_is_gone(run_python: RunPython, tmp_path: Path) -> None:
    """As rerun does it; also if the garbage collector finds it in the middle of another call, or at the end."""
    path = tmp_path / "run.rrd"
    run_python(
        PROGRAMS / "last_handles.py",
        path,
        *(tmp_path / f"{name}.rrd" for name in ("cycle", "other", "kept")),
    ).check()
    verify(tmp_path / "kept.rrd")


def test_a_path_that_is_saved_to_again_is_overwritten(run_python: RunPython, tmp_path: Path) -> None:
    """A loop over `with` blocks with one path leaves the last one's rows, as in rerun."""
    path = tmp_path / "run.rrd"
    run_python(
        """
        import sys
        import rerun_mp as rr
        for number in (3, 2):
            with rr.RecordingStream("app", recording_id="same", send_properties=False) as recording:
                recording.save(sys.argv[1])
                for step in range(number):
                    recording.log("step", rr.Scalars(step))
        """,
        path,
    ).check()
    verify(path)
    assert len(rows_of(path)) == 2


def test_a_complete_file_may_be_moved_or_removed(run_python: RunPython, tmp_path: Path) -> None:
    """With its directory too; nothing is said of it, and it is not written again."""
    done = run_python(
        """
        import os, sys, tempfile
        import rerun_mp as rr
        with tempfile.TemporaryDirectory(dir=sys.argv[1]) as directory:
            with rr.RecordingStream("app", recording_id="removed") as recording:
                recording.save(f"{directory}/run.rrd")
                recording.log("step", rr.Scalars(1.0))
        with rr.RecordingStream("app", recording_id="moved") as recording:
            recording.save(f"{sys.argv[1]}/run.rrd")
            recording.log("step", rr.Scalars(1.0))
        os.rename(f"{sys.argv[1]}/run.rrd", f"{sys.argv[1]}/moved.rrd")
        """,
        tmp_path,
    ).check()
    assert done.stderr == ""
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".rrd"] == ["moved.rrd"]
    verify(tmp_path / "moved.rrd")
