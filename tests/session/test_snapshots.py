"""A window survives the kill of every process, and any process gets all rows of the window in one complete file."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.session.rotation import read_part_list
from tests.conftest import RunPython, StartPython
from tests.harness.programs import COMMAND, wait_until
from tests.harness.recordings import count_rows, rows_before_cut, rows_of, verify
from tests.harness.sessions import SessionWatch
from tests.session.programs.black_box import ROWS

PROGRAM = Path(__file__).with_name("programs") / "black_box.py"
ALL = {"robot": 1, "worker/0": ROWS, "worker/1": ROWS}


def test_a_snapshot_of_any_process_has_the_rows_of_all(run_python: RunPython, tmp_path: Path) -> None:
    """A forked and a spawned worker ask at the same time."""
    run_python(PROGRAM, "ask", "60", tmp_path / "box.rrd", tmp_path / "seen.rrd").check()
    for number in range(2):
        path = tmp_path / f"seen.rrd.{number}"
        verify(path)
        assert count_rows(path) == ALL
    assert not list(tmp_path.glob(".*"))


def test_a_request_outlives_the_program_that_made_it(start_python: StartPython, tmp_path: Path) -> None:
    program = start_python(PROGRAM, "die", "60", tmp_path / "box.rrd", tmp_path / "seen.rrd")
    assert program.wait().returncode == -signal.SIGKILL
    wait_until((tmp_path / "seen.rrd").exists, what="the snapshot")
    verify(tmp_path / "seen.rrd")
    assert count_rows(tmp_path / "seen.rrd") == ALL


@pytest.mark.real_collectors
@pytest.mark.filterwarnings("ignore:RRD file has no footer")
def test_the_window_of_a_tree_that_was_killed_with_its_collector_is_readable(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """The parts are readable at once; after the recovery they are complete, and none is removed for its age."""
    watch, path = SessionWatch(), tmp_path / "box.rrd"
    program = start_python(PROGRAM, "run", "0.6", path, tmp_path / "-", env=watch.environment)
    program.wait_for_output("begun")
    wait_until(lambda: any(part.number > 1 for part in rr.parts(path)[:1]), what="a window that moves")
    watch.kill_everything(program)
    listed = read_part_list(str(path)).removing  # the collector was killed before it had removed these files
    there = [part for part in sorted(tmp_path.glob("box.*.rrd")) if str(part) not in listed]
    before = [row for part in there for row in rows_before_cut(part) if row.times]
    assert before
    run_python(COMMAND, "recover").check()
    parts = sorted(tmp_path.glob("box.*.rrd"))
    after = [row for part in parts for row in rows_of(part) if row.entity_path.startswith("worker/")]
    assert {row.row_id for row in before} <= {row.row_id for row in after}
    for worker in range(2):
        steps = sorted(row.times["step"] for row in after if row.entity_path == f"worker/{worker}")
        assert steps == list(range(steps[0], steps[-1] + 1)), "a row is missing, or there twice"
    for part in parts:
        verify(part)
        assert count_rows(part)["robot"] == 1, "each part begins with the static data"


def test_a_process_that_was_stopped_gets_its_answer_after_requests_of_others(
    run_python: RunPython, tmp_path: Path
) -> None:
    run_python(
        """
        import os, signal, sys, time
        import rerun_mp as rr
        directory = sys.argv[1]
        rr.init("box")
        rr.save(f"{directory}/box.rrd", rotate=rr.Rotation(keep_last=60))
        rr.log("x", rr.Scalars(1.0))
        child = os.fork()
        if child == 0:
            rr.snapshot(f"{directory}/first.rrd", timeout=100)
            os._exit(0)
        while not os.path.exists(f"{directory}/first.rrd"):
            time.sleep(0.001)
        os.kill(child, signal.SIGSTOP)
        for number in range(2):
            rr.snapshot(f"{directory}/{number}.rrd")
        os.kill(child, signal.SIGCONT)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        tmp_path,
    ).check()


def test_a_path_that_cannot_be_written_is_refused_at_once(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(
        """
        import sys
        import rerun_mp as rr
        rr.init("box")
        path = sys.argv[1]
        of_session = [path] + [path.removesuffix("rrd") + end for end in ("0001.rrd", "0007.rrd", "parts.jsonl")]
        for wrong in (*of_session, "missing/incident.rrd"):
            rr.save(path, rotate=rr.Rotation(keep_last=60))
            try:
                rr.snapshot(wrong)
            except rr.RerunMpError as error:
                print(f"{type(error).__name__}: {error}")
        """,
        tmp_path / "box.rrd",
    ).check()
    *of_session, missing = done.stdout.splitlines()
    assert len(of_session) == 4
    assert all(line.startswith("InvalidArgumentError: argument 'path': ") for line in of_session)
    assert missing.startswith("ResourceError: cannot write ")
