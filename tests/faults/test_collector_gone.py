"""P5 and P7: guard and worker are killed while no producer logs, or their runtime directory is removed."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from pathlib import Path

import pytest

from rerun_mp.shm.layout import Attention, Header
from tests.conftest import RunPython, StartPython
from tests.faults.test_orphans import checked_rows
from tests.harness.programs import COMMAND, wait_until
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

KILLED_WITH_ROWS = """
import os, signal, sys
import rerun_mp as rr
rr.init("rerun_mp_gone")
rr.save(sys.argv[1])
rr.log("early", rr.Scalars(0.0))
rr.flush()
print("begun", flush=True)
open(sys.argv[2]).read()
for step in range(5000):
    rr.set_time("step", sequence=step)
    rr.log("late", rr.Scalars(float(step)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("role", ["worker", "guard"])
def test_a_collector_killed_after_the_last_participant_has_gone_is_replaced(
    role: str, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 19: only guard and worker can replace each other then. The ring is full of rows."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(KILLED_WITH_ROWS, path, fifo, env=watch.environment)
    program.wait_for_output("begun")
    worker = watch.collector("worker")
    worker.send_signal(signal.SIGSTOP)
    fifo.write_bytes(b"")
    assert program.wait().returncode == -signal.SIGKILL
    watch.kill(role)
    if role == "guard":
        worker.send_signal(signal.SIGCONT)
    wait_until(lambda: not any(watch.collectors().values()), what="the session's end")
    assert not watch.segment.exists()
    assert Counter(row.entity_path for row in checked_rows(path)) == {"early": 1, "late": 5000}


HOLDS = """
import sys, time
import rerun_mp as rr
rr.init("rerun_mp_gone")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(0.0))
rr.flush()
print("flushed", flush=True)
time.sleep(600)
"""


def test_a_collector_holds_no_directory_of_the_program(start_python: StartPython, tmp_path: Path) -> None:
    """A program may go on elsewhere, as a daemon does, and the disk that it was started on must then come off."""
    watch = SessionWatch()
    start_python(HOLDS, tmp_path / "out.rrd", env=watch.environment).wait_for_output("flushed")
    assert [watch.collector(role).cwd() for role in ("guard", "worker")] == ["/", "/"]


ENDS_WITHOUT = """
import os, sys
import rerun_mp as rr
rr.init("rerun_mp_gone")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(0.0))
rr.flush()
print("flushed", flush=True)
open(sys.argv[2]).read()
os.environ["RERUN_MP_PYTHON"] = "/bin/false"
rr.log("row", rr.Scalars(1.0))
"""


def test_a_program_that_ends_without_a_collector_says_why_in_one_line(
    start_python: StartPython, run_python: RunPython, tmp_path: Path
) -> None:
    """It does not say that a collector goes on. A recovery brings the row into the file."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    # The reason needs five seconds without a collector; a busy machine may begin to count late.
    environment = {**watch.environment, "RERUN_MP_EXIT_TIMEOUT": "9"}
    program = start_python(ENDS_WITHOUT, path, fifo, env=environment)
    program.wait_for_output("flushed")
    watch.kill("guard", "worker")
    fifo.write_bytes(b"")
    (line,) = program.wait(timeout_secs=60.0).check().stderr.splitlines()
    reason = "for 5 s no collector could be started: RERUN_MP_PYTHON names /bin/false"
    assert "not stored yet: " + reason in line
    run_python(COMMAND, "recover").check()
    assert Counter(row.entity_path for row in checked_rows(path)) == {"row": 2}


IN_JOIN = Path(__file__).with_name("programs") / "in_join.py"


@pytest.mark.parametrize("child", ["logs on", "waits"])
def test_a_collector_killed_while_the_parent_sits_in_join_is_replaced(
    child: str, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 19: guard and worker are killed. A child that logs starts new ones, or the parent does at its end."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    # Longer than this test waits: a parent that starts no collector must be seen waiting, not leaving its file behind.
    environment = {**watch.environment, "RERUN_MP_EXIT_TIMEOUT": "300"}
    program = start_python(IN_JOIN, path, stop, child, env=environment)
    program.wait_for_output("flushed")
    watch.kill("guard", "worker")
    if child == "logs on":
        watch.wait_for_sweeps(3)
    stop.touch()
    done = program.wait(timeout_secs=60.0).check()
    rows = int(done.stdout.split()[-1])
    assert Counter(row.entity_path for row in checked_rows(path)) == {"parent": 1, "child": rows}


RINGS = """
import signal, sys
import rerun_mp as rr
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
rr.init("rerun_mp_rings")
rr.save(sys.argv[1])
for fifo in sys.argv[2:]:
    # The collector sleeps or was killed in its sleep: the row rings the doorbell.
    open(fifo).read()
    rr.log("row", rr.Scalars(1.0))
rr.flush()
"""


def test_ringing_for_a_dead_collector_kills_no_program(start_python: StartPython, tmp_path: Path) -> None:
    """Hazard 24: with the default action for SIGPIPE the program goes on, and its row is in the file."""
    path, fifos, watch = tmp_path / "out.rrd", [tmp_path / "first", tmp_path / "second"], SessionWatch()
    for fifo in fifos:
        os.mkfifo(fifo)
    program = start_python(RINGS, path, *fifos, env=watch.environment)
    watch.collector("worker")
    wait_until_asleep(watch)
    before = watch.sweeps_done()
    fifos[0].write_bytes(b"")
    watch.wait_for_sweeps(1, since=before)
    wait_until_asleep(watch)
    watch.kill("guard", "worker")
    fifos[1].write_bytes(b"")
    program.wait(timeout_secs=60.0).check()
    assert Counter(row.entity_path for row in checked_rows(path)) == {"row": 2}


def wait_until_asleep(watch: SessionWatch) -> None:
    """Wait until the collector sleeps, and the attention word says so."""
    wait_until(lambda: watch.header(Header.ATTENTION) & Attention.SLEEPING, what="the collector's sleep")


ELSEWHERE = Path(__file__).with_name("programs") / "elsewhere.py"


@pytest.mark.parametrize("killed", [(), ("guard", "worker")], ids=["alone", "with the collector"])
def test_the_runtime_directory_may_be_removed(
    killed: tuple[str, ...], place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 12: a logout removes it, and a child has another one. Locks and sinks stay the same."""
    path, fifo, other, watch = tmp_path / "out.rrd", tmp_path / "fifo", tmp_path / "other", SessionWatch()
    os.mkfifo(fifo)
    other.mkdir(mode=0o700)
    program = start_python(ELSEWHERE, path, fifo, other, env=watch.environment)
    program.wait_for_output("begun")
    with watch.stopped():  # they write into it
        shutil.rmtree(place / "runtime" / "rerun_mp")
    if killed:
        watch.kill(*killed)
    fifo.write_bytes(b"")
    done = program.wait(timeout_secs=60.0).check()
    assert "held True True True True" in done.stdout
    assert Counter(row.entity_path for row in checked_rows(path)) == {"parent": 2, "child": 1}
    assert not list(other.iterdir())
