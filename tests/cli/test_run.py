"""`rerun-mp run` captures a program and all its children, whether they log with rerun_mp or rerun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import COMMAND, call
from tests.harness.recordings import count_rows, verify

PROGRAM = Path(__file__).with_name("programs") / "plain_rerun.py"


def test_a_program_that_knows_only_rerun_is_captured(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "run.rrd"
    ended = call("run", "--save", path, "--", sys.executable, PROGRAM)
    assert ended.returncode == 7, ended.stderr
    verify(path)
    expected = {"main": 1, "fork": 100, "forkserver": 100, "spawn": 100, "subprocess": 10}
    assert count_rows(path) == expected
    (other,) = tmp_path.glob("run.rerun_mp_run_other-*.rrd")
    assert count_rows(other) == {"by_context": 1, "by_handle": 1}
    assert f"rerun-mp: {sum(expected.values()) + 2} rows from 5 processes" in ended.stderr
    assert str(other) in ended.stderr


def test_programs_of_other_languages_and_our_own_are_captured(tmp_path: Path, place: Path) -> None:
    path, own = tmp_path / "run.rrd", tmp_path / "own.rrd"
    code = f"import rerun_mp as rr; rr.init('rerun_mp_run'); rr.save({str(own)!r}); rr.log('a', rr.Scalars(1.0))"
    ended = call("run", "--save", path, "--", "sh", "-c", f'{sys.executable} -c "{code}" && exit 3')
    assert ended.returncode == 3, ended.stderr
    for file in (path, own):
        verify(file)
        assert count_rows(file) == {"a": 1}


def test_a_program_that_cannot_be_run_is_an_error(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "run.rrd"
    assert call("run", "--save", path, "--", "no-such-program").returncode == 127
    (tmp_path / "script").write_text("nonsense\0")
    (tmp_path / "script").chmod(0o700)
    assert call("run", "--save", path, "--", tmp_path / "script").returncode == 126
    refused = call("run", "--save", tmp_path / "missing" / "run.rrd", "--", "true")
    assert refused.returncode == 1
    assert "choose a directory that you can write to" in refused.stderr
    assert call("run").returncode == 2
    assert call("run", "--", "sh", "-c", "kill -9 $$").returncode == 128 + 9


def test_the_users_sitecustomize_runs_too(tmp_path: Path, place: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine', flush=True)")
    ended = call("run", "--", sys.executable, "-c", "pass", env={"PYTHONPATH": str(tmp_path)})
    assert ended.stdout == "mine\nmine\n", "once in the command, once in the program"


def test_sigterm_is_passed_on(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, path = running
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    verify(path)
    assert count_rows(path) == {"a": 1}


@pytest.mark.viewer
def test_the_command_serves_the_web_viewer_while_the_program_runs(tmp_path: Path, place: Path) -> None:
    code = "import rerun as rr; rr.init('rerun_mp_run'); rr.log('a', rr.Scalars(1.0))"
    ended = call("run", "--serve", "--", sys.executable, "-c", code)
    assert ended.returncode == 0, ended.stderr
    assert "rerun-mp: open http://127.0.0.1:" in ended.stderr
    assert "rerun-mp: 1 row from 1 process" in ended.stderr


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path, place: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError(\"No module named 'typer'\", name='typer')")
    told = call("status", env={"PYTHONPATH": str(tmp_path)})
    assert told.returncode == 2
    assert "pip install 'rerun_mp[cli]'" in told.stderr
    code = "from rerun_mp.__main__ import main; raise SystemExit(main(['recover']))"
    alone = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, check=False
    )
    assert alone.returncode == 0, alone.stderr


def test_the_command_is_found_where_the_package_is_installed() -> None:
    assert shutil.which(COMMAND[0])
