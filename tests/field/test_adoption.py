"""A program that is process 1 or a subreaper waits for all of its children: the collector does not count as one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rerun_mp.shm.layout import WORD, Header
from tests.conftest import RunPython, StartPython
from tests.harness.programs import PROGRAM_SECS, ROOT, wait_until
from tests.harness.recordings import Row
from tests.harness.requirements import need
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors
RowsOf = Callable[..., list[Row]]

ROWS = 10
CHILDREN = 2
LOOKS = 8
"""An idle worker sleeps once for each look at what has adopted it."""
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


IDLE = """
import signal, sys
import rerun_mp as rr
rr.init("rerun_mp_adoption")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0))
rr.flush()
print("logged", flush=True)
signal.pause()
"""


def test_a_worker_knows_its_guard_although_the_headers_word_is_damaged(
    start_python: StartPython, tmp_path: Path
) -> None:
    """A guard waits for its worker, as a program may. The worker stays, although the header names no guard."""
    watch = SessionWatch()
    program = start_python(IDLE, tmp_path / "run.rrd", env=watch.environment)
    program.wait_for_output("logged")
    worker = watch.collector("worker")
    with watch.segment.open("r+b", buffering=0) as file:
        os.pwrite(file.fileno(), bytes(WORD), Header.GUARD_PID * WORD)
    enough = worker.num_ctx_switches().voluntary + LOOKS
    wait_until(lambda: not worker.is_running() or worker.num_ctx_switches().voluntary > enough, what="some looks")
    assert watch.collector("worker") == worker
    os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: not watch.segment.exists(), what="the end of the session")
