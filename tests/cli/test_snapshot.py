"""`rerun-mp snapshot` writes what a running session still has, and the session goes on."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cli.commands import call
from tests.cli.test_stop import session_of
from tests.harness.recordings import count_rows, verify


def test_a_snapshot_from_outside_has_the_rows_and_the_session_goes_on(
    running: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    process, saved = running
    name, path = session_of(process.pid), tmp_path / "incident.rrd"
    done = call("snapshot", name, "--into", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{path}: 0.0 MB of ")
    verify(path)
    assert count_rows(path) == {"a": 1}
    refused = call("snapshot", name, "--into", saved)
    assert refused.returncode == 1
    assert f"{saved} is a file that the session writes" in refused.stderr
    unknown = call("snapshot", name, "--recording", "another", "--into", path)
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "no running session has a recording 'another'" in unknown.stderr
    assert call("snapshot", "0123456789abcdef").returncode == 2
    assert process.poll() is None
    assert session_of(process.pid) == name
