"""The fixtures that other tests rely on, tried on programs that misbehave on purpose."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.leftovers import SHARED_MEMORY, Machine
from tests.harness.programs import wait_until
from tests.harness.recordings import Row
from tests.harness.viewers import HeadlessViewer


def test_a_program_runs_to_its_end(run_python: RunPython) -> None:
    """Output, exit code and arguments go through."""
    done = run_python(
        "import sys; print(sys.argv[1:]); print('oh', file=sys.stderr); sys.exit(3)", "a", "b", timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "['a', 'b']\n", "oh\n")
    with pytest.raises(AssertionError, match="ended with 3"):
        done.check()


def test_a_program_that_hangs_shows_its_stacks(start_python: StartPython) -> None:
    """A timeout ends parent and child, and shows the stacks of both."""
    code = """
        import multiprocessing, signal

        def stand_still_here():
            print("ready")
            signal.pause()

        if __name__ == "__main__":
            multiprocessing.get_context("spawn").Process(target=stand_still_here).start()
            signal.pause()
    """
    program = start_python(code)
    program.wait_for_output("ready")
    with pytest.raises(AssertionError) as caught:
        program.wait(timeout_secs=0.5)
    assert "did not end within 0.5 s" in str(caught.value)
    assert "stand_still_here" in str(caught.value)
    # Both write at the same time, and their lines mix.
    assert str(caught.value).count("Aborted") >= 2


def test_a_test_waits_for_the_output_of_a_program(start_python: StartPython) -> None:
    """The test goes on once the text is written, and sees how the program ends."""
    program = start_python("import signal; print('ready'); signal.pause()")
    program.wait_for_output("ready")
    os.kill(program.pid, signal.SIGTERM)
    assert program.wait(timeout_secs=30).returncode == -signal.SIGTERM


def test_the_wait_ends_when_the_program_ends_without_the_output(start_python: StartPython) -> None:
    """It fails at once, and not after its timeout."""
    with pytest.raises(AssertionError, match="ended with 0 without writing 'ready'"):
        start_python("print('no')").wait_for_output("ready")


def test_each_test_has_its_own_directory(place: Path, run_python: RunPython, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtime directory, cache and temporary files of a program lie in the test's directory, at short paths."""
    monkeypatch.setenv("RERUN_MP_SESSION", "inherited by programs only if the test asks for it")
    code = """
        import os, tempfile
        print(os.environ["XDG_RUNTIME_DIR"], os.environ["XDG_CACHE_HOME"], tempfile.gettempdir())
        print(sorted(name for name in os.environ if name.startswith("RERUN_MP_S")))
    """
    out = run_python(code, env={"RERUN_MP_SESSION": None}, timeout=30).check().stdout
    assert out == f"{place}/runtime {place}/cache {place}/tmp\n[]\n"
    assert len(str(place)) < 30


def test_leftovers_are_seen_and_removed(place: Path, run_python: RunPython) -> None:
    """A segment, a socket's directory and an orphan are found by name, then gone."""
    machine = Machine.snapshot(place)
    assert not machine.leftovers()
    segment = SHARED_MEMORY / f"rmp-{os.getpid()}-left"
    segment.touch()
    directory = place / "runtime" / "rerun_mp" / "session"
    directory.mkdir(parents=True)
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']).pid)"
    )
    orphan = int(run_python(code).check().stdout)
    left = machine.leftovers()
    assert (left.segments, left.files, [process.pid for process in left.processes]) == (
        [segment],
        [directory, directory.parent],
        [orphan],
    )
    for name in (str(segment), str(directory), str(orphan)):
        assert name in str(left)
    left.remove()
    wait_until(lambda: not machine.leftovers(), what="removal")
    assert not segment.exists()
    assert not psutil.pid_exists(orphan) or psutil.Process(orphan).status() == psutil.STATUS_ZOMBIE


def test_a_recording_is_read_back(
    tmp_path: Path, run_python: RunPython, rows_of: Callable[..., list[Row]], verify: Callable[..., None]
) -> None:
    """Entity, row id, times and components of each row come back. A truncated file is not complete."""
    path = tmp_path / "plain.rrd"
    code = """
        import sys
        import rerun as rr

        rr.init("plain")
        rr.save(sys.argv[1])
        for i in range(100):
            rr.set_time("step", sequence=i)
            rr.log("a/b", rr.Scalars(i / 2))
        rr.log("note", rr.TextDocument("x"), static=True)
    """
    run_python(code, path).check()
    verify(path)
    rows = rows_of(path)
    scalars = [row for row in rows if row.entity_path == "a/b"]
    assert [row.times["step"] for row in scalars] == list(range(100))
    assert [row.components["Scalars:scalars"].as_py() for row in scalars] == [[i / 2] for i in range(100)]
    assert [row.row_id for row in scalars] == sorted({row.row_id for row in scalars})
    assert [row.times for row in rows if row.entity_path == "note"] == [{}]
    assert len(rows_of(path, properties=True)) == len(rows) + 1
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(AssertionError, match="rrd verify"):
        verify(path)


@pytest.mark.viewer
def test_a_viewer_answers(headless_viewer: HeadlessViewer, run_python: RunPython, artifacts: Path) -> None:
    """A headless Viewer receives the rows of plain rerun, reports them, and draws them."""
    code = """
        import sys
        import rerun as rr

        rr.init("shown")
        rr.connect_grpc(sys.argv[1])
        for i in range(100):
            rr.set_time("step", sequence=i)
            rr.log("curve", rr.Scalars(i * i))
    """
    run_python(code, headless_viewer.url).check()
    wait_until(lambda: headless_viewer.store_id("shown"), what="a recording in the Viewer")

    def entities() -> list[str]:
        return [entity.entity_path for entity in headless_viewer.schema("shown").entities]

    wait_until(lambda: "/curve" in entities(), what="the rows in the Viewer")
    assert headless_viewer.screenshot(artifacts / "harness-viewer.png").stat().st_size > 1000
