"""systemd removes a user's shared memory at his logout (RemoveIPC): the programs that run on end in good order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import Row
from tests.harness.sessions import SessionWatch

RowsOf = Callable[..., list[Row]]

PROGRAM = """
import os, sys, warnings
import rerun_mp as rr
from rerun_mp.session import current
warnings.simplefilter("ignore")
rr.init("rerun_mp_removed")
rr.save(sys.argv[1])
for number in range(10):
    rr.log("before", rr.Scalars(number))
rr.flush()
segment = current.session().segment
os.unlink(segment.path)
os.unlink(f"/dev/shm/sem.rmp-{segment.nonce.hex()[:16]}")
print("removed", flush=True)
for number in range(10):
    rr.log("after", rr.Scalars(number))
if sys.argv[2:]:
    os.read(os.open(sys.argv[2], os.O_RDONLY), 1)
"""


def test_a_session_without_its_segment_ends(run_python: RunPython, tmp_path: Path, rows_of: RowsOf) -> None:
    """The collector has the segment's memory, and completes the file. No process and no directory stays."""
    watch = SessionWatch()
    done = run_python(PROGRAM, tmp_path / "run.rrd", env=watch.environment).check()
    # The program cannot see the end of a session whose segment has no name.
    wait_until(lambda: not any(watch.collectors().values()), what="the end of the collector")
    assert "Traceback" not in done.stderr
    assert done.stderr.count("has been removed while this process uses it") <= 1
    assert {row.entity_path for row in rows_of(tmp_path / "run.rrd")} >= {"before"}


@pytest.mark.real_collectors
def test_a_killed_program_without_its_segment_leaves_nothing_running(
    start_python: StartPython, tmp_path: Path, rows_of: RowsOf
) -> None:
    fifo, watch = tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(PROGRAM, tmp_path / "run.rrd", fifo, env=watch.environment)
    program.wait_for_output("removed")
    program.process.send_signal(signal.SIGKILL)
    program.process.wait()
    wait_until(lambda: not any(watch.collectors().values()), what="the end of the collector")
    assert {row.entity_path for row in rows_of(tmp_path / "run.rrd")} >= {"before"}
