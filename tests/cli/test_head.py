"""`rerun-mp head` ends at once if it cannot serve."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.programs import ROOT


@pytest.mark.parametrize("further", [0, 1], ids=["live view", "receiver"])
def test_a_port_that_another_program_has_is_named(tmp_path: Path, further: int) -> None:
    """It is often that of a viewer that runs already."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - further
        command = [sys.executable, "-m", "rerun_mp", "head", "--dir", str(tmp_path), f"--port={port}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "the head cannot be started: " in done.stderr
    assert "Address already in use" in done.stderr
    if not further:
        assert f"127.0.0.1:{port}, for the live view; choose another --port" in done.stderr
