"""P3: a fork at any instant, from any thread, deadlocks nobody and loses and repeats no row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import Row, count_rows, rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")


def test_forking_while_eight_threads_log(run_python: RunPython, tmp_path: Path) -> None:
    """200 forks from a parent whose eight threads log without pause: every returned row is there once."""
    path = tmp_path / "out.rrd"
    forks = 200
    done = run_python(PROGRAMS / "threads_and_forks.py", path, str(forks), timeout=120.0).check()
    verify(path)
    expected = {f"child/{number}": 5 for number in range(forks)}
    for line in done.stdout.splitlines():
        _, number, count = line.split()
        expected[f"thread/{number}"] = int(count)
    assert count_rows(path) == expected


SIGNAL_FORK = """
import os, signal, sys
import rerun_mp as rr
rr.init("rerun_mp_signals")
rr.save(sys.argv[1])
one, two = rr.Scalars(1.0), rr.Scalars(2.0)
rr.log("warm", one)
is_child, children = False, []
def handler(*_):
    # Forks wherever the interrupted call stands, and goes on in both processes.
    global is_child
    child = os.fork()
    if child == 0:
        is_child = True
    else:
        children.append(child)
        signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.00001 * len(children))
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
own = 0
while len(children) < 150 and not is_child:
    rr.log("parent", one)
    own += 1
if is_child:
    # The call that was interrupted has returned in this process too.
    for step in range(3):
        rr.log(f"child/{os.getpid()}", two)
    os._exit(0)
signal.setitimer(signal.ITIMER_REAL, 0)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, child
print(own, len(children))
"""


def test_forking_in_a_signal_handler_in_the_middle_of_a_call(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 21: a fork between payload and commit leaves the parent's rows alone; both processes go on logging."""
    path = tmp_path / "out.rrd"
    done = run_python(SIGNAL_FORK, path, timeout=120.0).check()
    own, children = map(int, done.stdout.split())
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    counts = Counter(row.entity_path for row in rows)
    assert sum(1 for path in counts if path.startswith("child/")) == children
    assert all(count == 3 for path, count in counts.items() if path.startswith("child/"))
    # A child may log the row whose call it was forked in: it returned there, too.
    assert own <= counts["parent"] <= own + children


SIGNAL_LOG = """
import signal, sys
import rerun_mp as rr
rr.init("rerun_mp_signals")
rr.save(sys.argv[1])
# Of numbers, most calls append to a table without a lock; of what has no table, each holds the producer's mutex.
one = rr.Scalars(1.0) if sys.argv[2] == "tables" else rr.Boxes2D(half_sizes=[[1.0, 2.0]])
rr.log("warm", one)
inner = 0
def handler(*_):
    global inner
    rr.log("handler", one)
    inner += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.000001 * inner)
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.01)
outer = 0
while inner < 500:
    rr.log("outer", one)
    outer += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print(outer, inner)
"""


@pytest.mark.parametrize("kind", ["tables", "frames"])
def test_logging_in_a_signal_handler_in_the_middle_of_a_call(kind: str, run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 22: a handler that logs while its own thread holds the producer's mutex neither hangs nor loses."""
    path = tmp_path / "out.rrd"
    done = run_python(SIGNAL_LOG, path, kind, timeout=60.0).check()
    outer, inner = map(int, done.stdout.split())
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts == {"warm": 1, "outer": outer, "handler": inner}


FINALISING = """
import os, sys, threading, types
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_finalising")
rr.save(sys.argv[1])
# Of what has no table: each call holds the producer's mutex.
row = rr.Boxes2D(half_sizes=[[1.0, 2.0]])
rr.log("main", row)
# Each call claims slots while it holds the mutex, and lets other threads run in the course of it.
image = rr.Image(np.zeros((1000, 1000), np.uint8))
child = os.fork() if sys.argv[2] == "child" else 0
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
class Late:
    # When it is called, names are gone.
    def __del__(self, log=rr.log, row=row):
        log("late", row)
# Of this module nothing is freed, because the threads below are frozen in it.
sys.modules["another"] = types.ModuleType("another")
sys.modules["another"].late = Late()
def for_ever():
    while True:
        rr.log("daemon", image)
        begun.release()
begun = threading.Semaphore(0)
for _ in range(4):
    threading.Thread(target=for_ever, daemon=True).start()
begun.acquire()
"""


@pytest.mark.parametrize("where", ["founder", "child"])
def test_daemon_threads_and_finalisers_do_not_hang_the_end(where: str, run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 22: daemon threads that log until finalisation freezes them, and a `__del__` that logs, end in peace.

    The founder has left the session by then. A forked child has not: its `__del__` logs.
    """
    path = tmp_path / "out.rrd"
    run_python(FINALISING, path, where, timeout=40.0).check()
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts["main"] == 1
    assert counts["daemon"] > 0
    assert counts["late"] == (1 if where == "child" else 0)


DAEMON = """
import os, sys, time
import rerun_mp as rr
rr.init("rerun_mp_daemon")
rr.save(sys.argv[1])
for step in range(100):
    rr.log("parent", rr.Scalars(float(step)))
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    rr.log("daemon", rr.Scalars(-1.0))
    os.setsid()
    if os.fork():
        os._exit(0)
    os.chdir("/")
    os.closerange(0, 4096)
    # A user's file now gets numbers that rerun_mp may have had.
    file = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    others = [os.dup(file) for _ in range(20)]
    os.write(file, b"the user's own bytes")
    for step in range(2000):
        rr.log("daemon", rr.Scalars(float(step)))
    rr.log("daemon", rr.Image([[[1, 2, 3]] * 400] * 400))
    os._exit(0)
os.waitpid(child, 0)
for step in range(100):
    rr.log("parent", rr.Scalars(float(step)))
os.close(writer)
os.read(reader, 1)
"""


def test_a_daemonised_worker_logs_on(run_python: RunPython, tmp_path: Path) -> None:
    """Hazards 1 and 2: double fork, setsid, all descriptors closed: its rows arrive, no file of the user's suffers."""
    path, own = tmp_path / "out.rrd", tmp_path / "own"
    run_python(DAEMON, path, own, timeout=60.0).check()
    counts = Counter(row.entity_path for row in _rows_when_complete(path))
    # The first row was logged by the intermediate process.
    assert counts == {"parent": 200, "daemon": 1 + 2000 + 1}
    assert own.read_bytes() == b"the user's own bytes"


def _rows_when_complete(path: Path) -> list[Row]:
    def is_complete() -> bool:
        try:
            verify(path)
        except AssertionError:
            return False
        return True

    wait_until(is_complete, timeout_secs=60.0, what="the file to be complete")
    return rows_of(path)
