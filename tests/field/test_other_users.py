"""No command reads another user's sessions, reports them, or advises to remove them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.field.programs.two_users import ROWS, USERS
from tests.harness.isolation import may_isolate
from tests.harness.programs import ROOT
from tests.harness.recordings import count_rows, recordings_in, verify
from tests.harness.requirements import need

pytestmark = [
    pytest.mark.real_collectors,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user"),
]

STRANGER = 65534

SESSION = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_mine")
rr.log("mine", rr.TextLog("text"))
rr.flush()
print("ready", flush=True)
open(sys.argv[1]).read()
"""

COMMANDS = """
import contextlib, io, os, sys
import rerun_mp.__main__, rerun_mp.cli.app, rerun_mp.collector.drain.sweep, rerun_mp.cli.doctor
import rerun_mp.monitoring.overview, rerun_mp.cli.recover
import rerun_mp.cli.rendering, rerun_mp.viewers.spawn, rerun_mp.compat.bridge, encodings.idna, importlib.metadata
user, home = int(sys.argv[1]), sys.argv[2]
os.chown(home, user, user)
os.setgroups([])
os.setresgid(user, user, user)
os.setresuid(user, user, user)
for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "TMPDIR", "HOME"):
    os.environ[name] = home
from rerun_mp.monitoring import overview
print("status", overview.look())
from rerun_mp.cli import doctor
print("doctor", doctor._left_sessions())
from rerun_mp.cli.recover import recover
print("recover", recover(only_list=True))
print("recover", recover())
"""


def test_no_command_speaks_of_another_users_sessions(start_python: StartPython, place: Path) -> None:
    """The exit status is 0."""
    end, home = place / "end", place / "home"
    os.mkfifo(end)
    home.mkdir()
    place.chmod(0o755)
    program = start_python(SESSION, end)
    program.wait_for_output("ready")
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(STRANGER), str(home)], capture_output=True, text=True, check=False
    )
    end.write_bytes(b"x")
    program.wait().check()
    assert done.returncode == 0, done.stderr
    status, check, *recoveries = done.stdout.splitlines()
    assert status == "status ([], [])"
    assert "verdict='ok', found='none'" in check
    assert recoveries == ["nothing is left to recover", "recover 0"] * 2
    assert done.stderr == ""


def test_two_users_share_a_name_and_no_session_and_one_cannot_enter_or_harm_the_others(place: Path) -> None:
    """Both sessions are called robot-7. The second user tries what a user can try with the first one's session."""
    need(None if may_isolate() else "namespaces of its own", "TESTS_NEED_NAMESPACES")
    place.chmod(0o755)
    command = ["unshare", "--mount", sys.executable, "-m", "tests.field.programs.two_users", str(place)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["segments"] >= 1
    assert len(report["outcomes"]) >= 10
    assert [name for name, outcome in report["outcomes"].items() if outcome != "PermissionError"] == []
    files = [place / name / "out.rrd" for name in USERS]
    for name, path in zip(USERS, files, strict=True):
        verify(path)
        assert count_rows(path) == {name: ROWS}
        assert path.stat().st_uid == USERS[name]
    first, second = (recordings_in(path) for path in files)
    assert first != second
