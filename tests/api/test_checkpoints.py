"""Files that are complete for readers before their session has ended, and go on."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

WORKERS = """
import multiprocessing, os, signal, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header
from tests.harness.recordings import rows_of, verify

def work(recording, begin, ready):
    ready.wait()
    begin.wait()
    for step in range(100):
        recording.log("worker", rr.Scalars(float(step)))

def kill_worker():
    os.kill(current.session().segment.ring.words[Header.WORKER_PID], signal.SIGKILL)

context = multiprocessing.get_context("fork")
begin, ready = context.Event(), context.Barrier(3)
recordings = [rr.RecordingStream("app", recording_id="r", send_properties=False)]
with recordings[0] as recording:
    rr.set_sinks(*map(rr.FileSink, sys.argv[1:]))
    rr.log("parent", rr.Scalars(1.0))
    if KILLS:
        rr.flush()
        kill_worker()
        rr.log("parent", rr.Scalars(2.0))
    workers = [context.Process(target=work, args=(recording, begin, ready)) for _ in range(2)]
    for worker in workers:
        worker.start()
    ready.wait()
    if GOES:
        del recording
        recordings.clear()
paths = sys.argv[1:]
for path in paths:
    verify(path)
    assert len(rows_of(path)) == 1 + KILLS, path
if KILLS:
    kill_worker()
begin.set()
for worker in workers:
    worker.join()
"""


def run(run_python: RunPython, tmp_path: Path, *, kills: bool, goes: bool = False) -> None:
    """Let workers log on after the parent's files were complete, and look at them when the program has ended."""
    paths = [tmp_path / "one.rrd", tmp_path / "two.rrd"]
    run_python(WORKERS.replace("KILLS", str(kills)).replace("GOES", str(goes)), *paths).check()
    for path in paths:
        verify(path)
        assert len(rows_of(path)) == 201 + kills
    assert sorted(path.name for path in tmp_path.glob("*.rrd*")) == ["one.rrd", "two.rrd"]
    assert not list(tmp_path.glob(".*rmp*"))


def test_rows_logged_after_a_with_block_are_in_the_files_in_the_end(run_python: RunPython, tmp_path: Path) -> None:
    """The end of the block completes both files, so that they can be read then."""
    run(run_python, tmp_path, kills=False)


def test_the_last_handle_of_one_process_closes_nothing_that_another_uses(run_python: RunPython, tmp_path: Path) -> None:
    run(run_python, tmp_path, kills=False, goes=True)


def test_a_collector_killed_before_and_after_joins_the_parts(run_python: RunPython, tmp_path: Path) -> None:
    """The files have parts of three collectors then, and are whole each time."""
    run(run_python, tmp_path, kills=True)


def test_a_file_is_complete_once_the_last_handle_is_gone(run_python: RunPython, tmp_path: Path) -> None:
    """As rerun does it; also if the garbage collector finds it in the middle of another call, or at the end."""
    path = tmp_path / "run.rrd"
    run_python(
        """
        import gc, sys
        import rerun_mp as rr
        from tests.harness.recordings import rows_of, verify

        def log(path, number, *, is_in_cycle=False):
            recording = rr.RecordingStream("app", send_properties=False)
            recording.save(path)
            for step in range(number):
                recording.log("step", rr.Scalars(step))
            if is_in_cycle:
                cycle = [recording]
                cycle.append(cycle)

        log(sys.argv[1], 7)
        verify(sys.argv[1])
        assert len(rows_of(sys.argv[1])) == 7
        gc.disable()
        log(sys.argv[2], 8, is_in_cycle=True)
        other = rr.RecordingStream("other")
        gc.enable()
        gc.set_threshold(1)
        other.save(sys.argv[3])
        gc.set_threshold(700)
        gc.collect()
        verify(sys.argv[2])
        assert len(rows_of(sys.argv[2])) == 8
        kept = rr.RecordingStream("kept")
        kept.save(sys.argv[4])
        kept.log("step", rr.Scalars(0.0))
        """,
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
