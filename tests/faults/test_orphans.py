"""P5 and P7: a process that is killed, ends first or runs again costs no other row and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.leftovers import Machine
from tests.harness.programs import slowdown, wait_until
from tests.harness.recordings import Row, count_rows, rows_of, verify
from tests.harness.sessions import SessionWatch, is_running

pytestmark = pytest.mark.real_collectors

END_SECS = 5.0
"""Maximum seconds from the end of a session's last process to the end of the session, on an idle machine."""

MAX_LOOK_SECS = 0.5
"""Maximum seconds that a look at what is left takes, unless the machine halts."""

PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_go_on_after_their_parent_was_killed(
    method: str, place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """Five seconds after the last worker's end the file is complete with all rows, and the session is gone."""
    machine, path = Machine.snapshot(place), tmp_path / "out.rrd"
    program = start_python(PROGRAMS / "orphans.py", path, method)
    program.wait_for_output("end\n")
    workers = [psutil.Process(int(pid)) for pid in program.stdout.split()[1:-1]]
    program.process.send_signal(signal.SIGKILL)
    assert program.wait().returncode == -signal.SIGKILL
    wait_until(lambda: not any(map(is_running, workers)), what="the workers' end")

    assert_nothing_is_left(machine)
    counts = Counter(row.entity_path for row in checked_rows(path))
    assert counts == {"parent": 1, "worker/0": 1000, "worker/1": 1000, "worker/2": 1000}


LATE_CHILD = """
import os, sys
open(sys.argv[1]).read()
import rerun_mp as rr
for step in range(100):
    rr.log("late", rr.Scalars(float(step)))
print("the child has logged", flush=True)
open(sys.argv[2]).read()
"""
EARLY_PARENT = """
import subprocess, sys
import rerun_mp as rr
rr.init("rerun_mp_late")
rr.save(sys.argv[1])
rr.log("early", rr.Scalars(1.0))
subprocess.Popen([sys.executable, *sys.argv[2:]])
"""


def test_a_subprocess_joins_after_its_parent_has_left(place: Path, start_python: StartPython, tmp_path: Path) -> None:
    """Hazard 20: only its environment names the session. The collector waits for it, the parent does not."""
    machine, path, watch = Machine.snapshot(place), tmp_path / "out.rrd", SessionWatch()
    child, begin, end = tmp_path / "child.py", tmp_path / "begin", tmp_path / "end"
    child.write_text(LATE_CHILD)
    os.mkfifo(begin)
    os.mkfifo(end)
    program = start_python(EARLY_PARENT, path, child, begin, end, env=watch.environment)
    wait_until(watch.segment.exists, what="the session")
    wait_until(lambda: not watch.has_participants(), what="the parent to leave")
    begin.write_bytes(b"")
    program.wait_for_output("the child has logged")
    program.wait().check()
    end.write_bytes(b"")

    assert_nothing_is_left(machine)
    assert Counter(row.entity_path for row in checked_rows(path)) == {"early": 1, "late": 100}


FIRST_RUN = """
import os, signal, sys
import rerun_mp as rr
rr.init("rerun_mp_again")
rr.save(sys.argv[1])
for step in range(20_000):
    rr.log("first", rr.Scalars(1.0))
os.kill(os.getpid(), signal.SIGKILL)
"""
SECOND_RUN = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_again")
rr.save(sys.argv[1])
for step in range(500):
    rr.log("second", rr.Scalars(1.0))
"""


def test_a_program_run_again_at_once_has_the_path_for_itself(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """Hazard 14: the file is the second run's, while the first run's collector still writes and after it has ended."""
    machine, path = Machine.snapshot(place), tmp_path / "out.rrd"
    assert run_python(FIRST_RUN, path).returncode == -signal.SIGKILL
    run_python(SECOND_RUN, path).check()
    assert Counter(row.entity_path for row in checked_rows(path)) == {"second": 500}
    assert_nothing_is_left(machine)
    assert Counter(row.entity_path for row in checked_rows(path)) == {"second": 500}


LOOKS_AFTERWARDS = """
import atexit, sys
# The function that was registered first runs last, after rerun_mp's, which is registered when rerun_mp is imported.
atexit.register(lambda: print("complete", is_complete(sys.argv[1]), flush=True))
import rerun_mp as rr
from rerun_mp.encoding.rrd_files import is_complete
rr.init("rerun_mp_looks")
rr.save(sys.argv[1])
rr.log("row", rr.Scalars(1.0))
rr.flush()
print("flushed", flush=True)
open(sys.argv[2]).read()
"""


def test_the_file_is_complete_before_the_program_has_ended(start_python: StartPython, tmp_path: Path) -> None:
    """Hazard 14: the collector is stopped until the program has left the session. The program waits for its file."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    # Fresh, because a preloaded interpreter has imported rerun_mp before the program begins.
    program = start_python(LOOKS_AFTERWARDS, path, fifo, env=watch.environment, fresh=True)
    program.wait_for_output("flushed")
    worker = watch.collector("worker")
    worker.send_signal(signal.SIGSTOP)
    fifo.write_bytes(b"")
    try:
        wait_until(lambda: not watch.has_participants(), what="the program to leave")
    finally:
        worker.send_signal(signal.SIGCONT)
    assert "complete True" in program.wait(timeout_secs=60.0).check().stdout
    assert Counter(row.entity_path for row in checked_rows(path)) == {"row": 1}


def test_waiting_for_every_child_returns_no_process_of_rerun_mp(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 15: a loop of `os.wait()` ends, and returns only the program's own children."""
    path = tmp_path / "out.rrd"
    run_python(PROGRAMS / "waiting_for_any_child.py", path).check()
    counts = Counter(row.entity_path for row in checked_rows(path))
    assert counts == {"parent": 1, "child/0": 1, "child/1": 1, "child/2": 1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_to_the_whole_process_group_costs_no_row(
    number: signal.Signals, place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """Ctrl-C or a job scheduler ends all processes. The complete file has every row that was logged before."""
    machine, path, counts = Machine.snapshot(place), tmp_path / "out.rrd", tmp_path / "counts"
    counts.write_bytes(bytes(32))
    program = start_python(PROGRAMS / "whole_group.py", path, counts)
    wait_until(lambda: min(struct.unpack("4Q", counts.read_bytes())) >= 200, what="200 rows of each")
    # Python ignores exceptions that a signal handler raises in the hooks after a fork.
    program.wait_for_output("started")
    os.killpg(program.pid, number)
    assert program.wait(timeout_secs=60.0).returncode != 0

    assert_nothing_is_left(machine)
    logged = struct.unpack("4Q", counts.read_bytes())
    stored = Counter(row.entity_path for row in checked_rows(path))
    # The signal may have come between a call's return and its count.
    assert all(stored[f"worker/{i}"] - count in (0, 1) for i, count in enumerate(logged)), (logged, stored)


@pytest.mark.parametrize("roles", [("worker",), ("guard",), ("guard", "worker")], ids="+".join)
def test_a_killed_collector_is_replaced(roles: tuple[str, ...], start_python: StartPython, tmp_path: Path) -> None:
    """Logging goes on. The only file is complete and has each row once. Hazard 24: SIGPIPE kills no process."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    # The ring is soon full, and waiting producers check that a collector runs.
    environment = {**watch.environment, "RERUN_MP_RING_BYTES": str(1 << 20)}
    program = start_python(PROGRAMS / "logging_on.py", path, stop, env=environment)
    for _ in range(2):
        watch.wait_for_sweeps(3)
        watch.kill(*roles)
        watch.wait_for_sweeps(3)
    for role in ("guard", "worker"):
        watch.collector(role)
    stop.touch()
    done = program.wait(timeout_secs=60.0).check()

    expected = {name: int(steps) for name, steps in map(str.split, done.stdout.splitlines())}
    verify(path)
    assert count_rows(path, timeline="step") == expected
    assert list(tmp_path.glob("*.rrd*")) == [path]


JOINING = """
import multiprocessing, os, subprocess, sys
import rerun_mp as rr

def join(how):
    print(how, rr.get_recording_id(), rr.get_application_id(), rr.is_enabled(), flush=True)
    rr.log(how, rr.Scalars(1.0))

if __name__ == "__main__":
    rr.init("rerun_mp_joining")
    rr.save(sys.argv[1])
    join("founder")
    for method in ("fork", "forkserver", "spawn"):
        process = multiprocessing.get_context(method).Process(target=join, args=(method,))
        process.start()
        process.join()
    code = "import runpy; runpy.run_path({!r})['join']('subprocess')".format(__file__)
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_every_process_that_joins_has_the_recording_of_the_session(run_python: RunPython, tmp_path: Path) -> None:
    """By fork, forkserver, spawn or subprocess, without `init`."""
    path, ways = tmp_path / "out.rrd", ["founder", "fork", "forkserver", "spawn", "subprocess"]
    lines = [line.split() for line in run_python(JOINING, path).check().stdout.splitlines()]
    assert [line[0] for line in lines] == ways
    assert {tuple(line[1:]) for line in lines} == {(lines[0][1], "rerun_mp_joining", "True")}
    assert Counter(row.entity_path for row in checked_rows(path)) == dict.fromkeys(ways, 1)


OUTSIDE = """
import rerun_mp as rr
rr.set_time("step", sequence=1)
rr.log("nowhere", rr.Scalars(1.0))
rr.send_columns("nowhere", [rr.TimeColumn("step", sequence=[1])], rr.Scalars.columns(scalars=[1.0]))
rr.reset_time()
rr.disable_timeline("step")
rr.flush()
assert (rr.get_recording_id(), rr.get_application_id(), rr.is_enabled()) == (None, None, False)
assert rr.get_data_recording() is None
"""


def test_calls_outside_of_a_session_do_nothing(place: Path, run_python: RunPython) -> None:
    machine = Machine.snapshot(place)
    done = run_python(OUTSIDE).check()
    assert not machine.leftovers()
    assert done.stderr == ""


def assert_nothing_is_left(machine: Machine) -> None:
    """Assert that no process, segment or directory of the session remains after `END_SECS`, more on a busy machine.

    Seconds for which the machine halts do not count.
    """
    limit_secs, waited_secs, before = END_SECS, 0.0, time.monotonic()
    while left := machine.leftovers():
        now = time.monotonic()
        waited_secs, before = waited_secs + min(now - before, MAX_LOOK_SECS), now
        if waited_secs > limit_secs:
            limit_secs = END_SECS * slowdown()
            if waited_secs > limit_secs:
                pytest.fail(f"left behind after {limit_secs:.1f} s:\n{left}", pytrace=False)
        time.sleep(0.01)


def checked_rows(path: Path) -> list[Row]:
    """Return the rows of a file after checking that it is complete and has no row twice."""
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows), "a row id occurs twice"
    return rows
