"""A program that is process 1 or a subreaper waits for all of its children: the collector does not count as one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import PROGRAM_SECS, ROOT
from tests.harness.recordings import Row
from tests.harness.requirements import need

pytestmark = pytest.mark.real_collectors
RowsOf = Callable[..., list[Row]]

ROWS = 10
CHILDREN = 2
PROGRAM = Path(__file__).parent / "programs" / "waiting_for_all_children.py"


def test_a_subreaper_sees_the_last_child_go(run_python: RunPython, tmp_path: Path, rows_of: RowsOf) -> None:
    """The rows that the program logs after its loop start a collector again, and are in the same file."""
    done = run_python(PROGRAM, "subreaper", tmp_path / "run.rrd", fresh=True).check()
    assert (done.stdout, done.stderr) == ("no child is left\n" * 2, "")
    assert len(rows_of(tmp_path / "run.rrd")) == CHILDREN * ROWS + 2


def _may_make_namespaces() -> bool:
    command = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    return shutil.which("unshare") is not None and _succeeds(command)


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


def test_process_1_sees_the_last_child_go(tmp_path: Path, place: Path, rows_of: RowsOf) -> None:
    """As in a container without an init. The session is removed before the end of process 1 ends every other one."""
    need(None if _may_make_namespaces() else "the right to make a pid namespace", "RERUN_MP_REQUIRE_FIELD")
    path = tmp_path / "run.rrd"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, str(PROGRAM), "process 1", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PROGRAM_SECS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "no child is left\n" * 2, "")
    assert len(rows_of(path)) == CHILDREN * ROWS + 2
