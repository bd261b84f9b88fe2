"""`rerun-mp status` and `top` show the program's own counts, with a live collector and without one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rerun_mp.cli.app import app
from rerun_mp.monitoring.overview import look_at
from tests.cli.commands import call
from tests.conftest import StartPython
from tests.harness.programs import Program, wait_until
from tests.harness.sessions import SessionWatch

PROGRAM = Path(__file__).with_name("programs") / "counting.py"


def view_of(watch: SessionWatch) -> dict[str, Any]:
    """Return the program's session as `status --json` shows it."""
    found = json.loads(call("status", "--json").stdout)
    (view,) = [one for one in found["sessions"] if one["segment_path"] == str(watch.segment)]
    return dict(view)


def open_gate(gate: Path, number: int) -> None:
    """Let the processes that wait for this number go on."""
    Path(f"{gate}{number}").touch()


def printed(program: Program, lines: int) -> dict[int, int]:
    """Wait until the program has printed so many lines, and return the counts of the last one."""
    wait_until(lambda: program.stdout.count("\n") >= lines, what="the counts")
    return {int(pid): rows for pid, rows in json.loads(program.stdout.splitlines()[-1]).items()}


def rows_by_pid(view: dict[str, Any]) -> dict[int, int]:
    """Return the rows that each process has logged, as a view has them."""
    return {one["pid"]: one["logged"] for one in view["processes"]}


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def test_counts_are_the_programs_with_a_collector_and_without(
    start_python: StartPython, tmp_path: Path, gate: Path
) -> None:
    watch = SessionWatch()
    program = start_python(PROGRAM, tmp_path / "run.rrd", gate, env=watch.environment)
    counts = printed(program, 1)
    view = view_of(watch)
    assert view["state"] == "live"
    assert rows_by_pid(view) == counts
    assert view["logged"] == view["stored"] + view["waiting"] == sum(counts.values())
    assert set(counts) <= set(view["participants"])

    shown = call("status", view["name"])
    assert shown.returncode == 0, shown.stderr
    assert f"{sum(counts.values()):,}" in shown.stdout
    top = call("top", view["name"], "--times", "2", "--every", "0.1")
    for pid, rows in counts.items():
        assert re.search(rf"\b{pid}\b.*\b{rows:,}\b", shown.stdout), shown.stdout
        assert re.search(rf"\b{pid}\b.*\b{rows:,}\b", top.stdout), top.stdout

    # The worker is dead, and the stopped guard cannot start another one.
    watch.stop("guard")
    watch.kill("worker")
    open_gate(gate, 1)
    counts = printed(program, 2)
    view = view_of(watch)
    assert rows_by_pid(view) == counts
    assert view["waiting"] > 0
    assert not view["collector"]["is_worker_live"]
    top = call("top", view["name"], "--times", "1")
    for pid, rows in counts.items():
        assert re.search(rf"\b{pid}\b.*\b{rows:,}\b", top.stdout), top.stdout
    guard = watch.collector("guard")
    guard.send_signal(signal.SIGKILL)
    wait_until(lambda: look_at(str(watch.segment)).state == "no collector", what="the end of the guard")  # type: ignore[union-attr]
    assert rows_by_pid(view_of(watch)) == counts
    assert call("status", view["name"]).returncode == 1
    open_gate(gate, 2)
    program.wait().check()


def test_a_session_that_was_killed_with_its_collector_is_shown_until_it_is_recovered(
    start_python: StartPython, tmp_path: Path, gate: Path
) -> None:
    watch = SessionWatch()
    program = start_python(PROGRAM, tmp_path / "run.rrd", gate, env=watch.environment)
    counts = printed(program, 1)
    watch.kill_everything(program)
    view = view_of(watch)
    assert view["state"] == "left"
    assert rows_by_pid(view) == counts
    shown = call("status", view["name"])
    assert shown.returncode == 1
    assert "rerun-mp recover" in shown.stdout
    listed = call("recover", "--list")
    assert view["name"] in listed.stdout
    assert call("recover", view["name"], "--quiet").returncode == 0
    assert view["name"] not in call("status", "--json").stdout


def test_dropped_rows_change_the_exit_status(start_python: StartPython, tmp_path: Path, gate: Path) -> None:
    watch = SessionWatch()
    environment = {**watch.environment, "RERUN_MP_POLICY": "drop", "RERUN_MP_RING_BYTES": "1000000"}
    program = start_python(
        """
        import os, signal, sys, time
        import numpy as np
        import rerun_mp as rr
        from rerun_mp.session import current
        from rerun_mp.shm.layout import Header

        rr.init("rerun_mp_status")
        rr.save(sys.argv[1])
        rr.log("first", rr.Scalars(0.0))
        rr.flush()
        os.kill(current.session().segment.ring.words[Header.WORKER_PID], signal.SIGSTOP)
        for number in range(100):
            rr.log("image", rr.Image(np.zeros((300, 300), np.uint8)))
        print("logged", flush=True)
        while not os.path.exists(sys.argv[2] + "1"):
            time.sleep(0.01)
        os.kill(current.session().segment.ring.words[Header.WORKER_PID], signal.SIGCONT)
        """,
        tmp_path / "run.rrd",
        gate,
        env=environment,
    )
    program.wait_for_output("logged")
    view = view_of(watch)
    shown = call("status", view["name"])
    assert view["logged"] == 101
    assert view["logged"] == view["stored"] + view["waiting"] + sum(view["dropped"].values())
    assert shown.returncode == 1
    assert f"{view['dropped']['policy']:,} policy" in shown.stdout
    open_gate(gate, 1)
    program.wait().check()


def test_wrong_calls_are_errors_and_every_help_text_has_an_example(place: Path) -> None:
    unknown = call("status", "0123456789abcdef")
    assert unknown.returncode == 2
    assert "there is no session 0123456789abcdef" in unknown.stderr
    for command in ("run", "status", "top", "runs", "doctor", "recover", "snapshot", "stop"):
        helped = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
        assert helped.exit_code == 0
        assert "Example" in helped.output, command


def test_status_names_the_program_and_fits_into_80_columns(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, _ = running
    shown = call("status", env={"COLUMNS": "80"}).stdout
    assert max(map(len, shown.splitlines())) <= 80
    [view] = [
        one for one in json.loads(call("status", "--json").stdout)["sessions"] if process.pid in one["participants"]
    ]
    assert view["program"]["pid"] == process.pid
    assert view["program"]["command"][0] == sys.executable
    assert view["program"]["directory"] == os.getcwd()
    assert view["program"]["user"] in shown
    assert sys.executable[:60] in shown


def test_a_shell_completes_commands() -> None:
    environment = {"_RERUN_MP_COMPLETE": "complete_bash", "COMP_WORDS": "rerun-mp st", "COMP_CWORD": "1"}
    assert call(env=environment).stdout.split() == ["status", "stop"]


@pytest.mark.parametrize("command", ["ship", "nodes"])
def test_a_directory_that_is_none_is_an_error(command: str, tmp_path: Path) -> None:
    """They said nothing and ended with 0, as if all parts had been shipped."""
    missing = tmp_path / "missing"
    done = call(command, str(missing))
    assert done.returncode == 2
    assert f"{missing} is no directory" in done.stderr
