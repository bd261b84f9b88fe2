"""A program says at its exit where its rows are: on a terminal, unless `exit_line` is off."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.programs import ROOT

PROGRAM = """
import rerun_mp as rr
rr.init("rerun_mp_final_report")
rr.save("run.rrd")
for step in range(1200):
    rr.log("x", rr.Scalars(float(step)))
"""


@pytest.mark.real_collectors
@pytest.mark.parametrize("switch", ["on", "off"])
def test_a_terminal_shows_the_file_and_its_rows(switch: str, place: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RERUN_MP_EXIT_LINE": switch}
    try:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, cwd=tmp_path, env=environment, stderr=theirs, timeout=60, check=False)
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4096):
                shown += block
        except OSError:  # a pty whose other end is closed
            pass
    finally:
        os.close(ours)
    assert done.returncode == 0
    assert (b"rerun_mp: 1,200 rows in run.rrd" in shown) == (switch == "on")
    assert (b"run.rrd" in shown) == (switch == "on")


@pytest.mark.real_collectors
def test_a_removed_working_directory_makes_no_traceback(place: Path, tmp_path: Path) -> None:
    """A path cannot be shown relative to it."""
    gone = tmp_path / "gone"
    gone.mkdir()
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as terminal:
        try:
            program = PROGRAM.replace("run.rrd", str(tmp_path / "run.rrd")) + f"import os; os.rmdir({str(gone)!r})"
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-c", program]
            done = subprocess.run(command, cwd=gone, env=environment, stderr=theirs, timeout=60, check=False)
        finally:
            os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # a pty whose other end is closed
            while block := terminal.read(4096):
                shown += block
    assert done.returncode == 0
    assert f"1,200 rows in {tmp_path / 'run.rrd'}" in shown.decode()
    assert "Traceback" not in shown.decode()
