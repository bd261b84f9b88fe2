"""A program without standard streams, or with all descriptors taken, has a collector, and says what it can."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import PROGRAM_SECS, ROOT
from tests.harness.recordings import Row

pytestmark = pytest.mark.real_collectors
RowsOf = Callable[..., list[Row]]
PROGRAMS = Path(__file__).with_name("programs")

PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import rerun_mp as rr
rr.init("rerun_mp_closed")
rr.save(sys.argv[1])
for number in range(10):
    rr.log("row", rr.Scalars(number))
if "die" in sys.argv:
    from rerun_mp.session import current
    from rerun_mp.shm.layout import Header
    rr.flush()
    words = current.session().segment.ring.words
    for pid in (words[Header.GUARD_PID], words[Header.WORKER_PID], os.getpid()):
        os.kill(pid, 9)
"""


def test_a_program_without_standard_streams_logs_and_recovers(
    run_python: RunPython, tmp_path: Path, place: Path, rows_of: RowsOf
) -> None:
    """A killed program has left something to recover. The next one has no stream to say so on."""
    program, killed, path = tmp_path / "program.py", tmp_path / "killed.rrd", tmp_path / "run.rrd"
    program.write_text(PROGRAM)
    assert run_python(PROGRAM, killed, "die").returncode == -9
    command = f"{shlex.join([sys.executable, str(program), str(path)])} <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], timeout=PROGRAM_SECS, check=False)
    assert done.returncode == 0
    assert len(rows_of(path)) == 10


TAKES_ALL = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
reader, writer = os.pipe()
for number in range(3, 12):
    os.dup2(reader, number, inheritable=True)
"""


def test_descriptors_that_the_collector_has_may_be_taken(
    run_python: RunPython, tmp_path: Path, rows_of: RowsOf
) -> None:
    """The collector inherits locks and sockets under fixed numbers, which the program uses for other things."""
    run_python(TAKES_ALL + PROGRAM, tmp_path / "run.rrd", fresh=True).check()
    assert len(rows_of(tmp_path / "run.rrd")) == 10


def test_a_program_waits_for_a_spawned_child_that_has_started_the_collector(
    run_python: RunPython, tmp_path: Path, rows_of: RowsOf
) -> None:
    """Its join waits for the end of a pipe. A collector that inherited the pipe would live as long as the program."""
    path = tmp_path / "run.rrd"
    run_python(PROGRAMS / "spawned_starter.py", path, str(PROGRAM_SECS / 2)).check()
    assert len(rows_of(path)) == 2
