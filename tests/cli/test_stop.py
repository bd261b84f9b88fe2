"""`rerun-mp stop` ends the processes of a session, and waits until their rows are in its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.commands import call
from tests.harness.recordings import count_rows, verify
from tests.harness.sessions import SessionWatch


def session_of(pid: int) -> str:
    """Return the name of the session that a process is in, so that the test stops no other session."""
    (view,) = [one for one in json.loads(call("status", "--json").stdout)["sessions"] if pid in one["participants"]]
    return str(view["name"])


def test_stop_ends_a_session_and_waits_for_its_files(running: tuple[subprocess.Popen[str], Path]) -> None:
    process, path = running
    name = session_of(process.pid)
    unnamed = call("stop", "--yes")
    assert unnamed.returncode == 2
    assert "give --all" in unnamed.stderr
    unasked = call("stop", name)
    assert unasked.returncode == 1
    assert process.poll() is None
    stopped = call("stop", "--yes", name)
    assert stopped.returncode == 0, stopped.stderr
    assert process.wait(30) == 128 + signal.SIGTERM
    assert count_rows(path) == {"a": 1}


def test_stop_kills_a_process_that_ignores_sigterm(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "run.rrd"
    code = (
        "import signal, sys, time; import rerun_mp as rr; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"rr.init('rerun_mp_run'); rr.save({str(path)!r}); rr.log('a', rr.Scalars(1.0));"
        "print('x', flush=True); time.sleep(600)"
    )
    watch = SessionWatch()
    environment = {**os.environ, **watch.environment}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        process.stdout.readline()
        name = session_of(process.pid)
        patient = call("stop", "--yes", "--timeout", "0.3", name)
        assert patient.returncode == 1
        assert f"processes {process.pid} are still there" in patient.stderr
        assert call("stop", "--yes", "--kill", name).returncode == 0
        assert process.wait(30) == -signal.SIGKILL
    verify(path)
    assert count_rows(path) == {"a": 1}
