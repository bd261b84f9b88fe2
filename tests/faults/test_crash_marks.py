"""Whom a signal has killed the recording says, and after which row; who was asked to end, or left, is no crash."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from rerun_mp.monitoring.overview import look_at
from tests.conftest import RunPython, StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of
from tests.harness.sessions import SessionWatch

ENTITY = "__rerun_mp/crashes"

PROGRAM = """
import ctypes, multiprocessing, os, signal, sys
import rerun_mp as rr

def work(how):
    for step in range(1234):
        rr.log(how, rr.Scalars(float(step)))
    if how == "segfault":
        ctypes.string_at(0)
    elif how.startswith("SIG"):
        os.kill(os.getpid(), getattr(signal, how))
    elif how == "exits":
        os._exit(3)
    elif how == "executes":
        os.execvp("true", ["true"])

if __name__ == "__main__":
    rr.init("rerun_mp_crash")
    rr.save(sys.argv[1])
    context = multiprocessing.get_context(sys.argv[2])
    ways = ["SIGKILL", "segfault", "SIGTERM", "SIGINT", "exits", "executes", "returns", "SIGUSR1"]
    workers = [context.Process(target=work, args=(how,), name=f"worker {how}") for how in ways]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print({worker.name: worker.pid for worker in workers})
"""


def marks(path: Path) -> list[Any]:
    """Return the texts that the collector has written of who was killed."""
    rows = rows_of(path, properties=True)
    return [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path.strip("/") == ENTITY]


def living(watch: SessionWatch) -> set[int]:
    """Return the ids of the producers that the collector has not cleared up after."""
    view = look_at(str(watch.segment))
    assert view is not None
    return {process.pid for process in view.processes if process.is_live}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_who_was_killed_is_said_and_nobody_else(method: str, run_python: RunPython, tmp_path: Path) -> None:
    """Even if it lived for some milliseconds only, while the collector was starting."""
    path = tmp_path / "run.rrd"
    pids = eval(run_python(PROGRAM, path, method).check().stdout)
    expected = {"worker SIGKILL": "SIGKILL", "worker segfault": "SIGSEGV", "worker SIGUSR1": "SIGUSR1"}
    assert sorted(marks(path)) == sorted(
        f"{name} (pid {pids[name]}) was killed by {cause} after row 1,234" for name, cause in expected.items()
    )
    (row, *_) = [row for row in rows_of(path, properties=True) if row.entity_path.strip("/") == ENTITY]
    assert row.components["TextLog:level"].as_py() == ["CRITICAL"]


def test_a_collector_that_is_killed_meanwhile_says_it_once(start_python: StartPython, tmp_path: Path) -> None:
    path, watch = tmp_path / "run.rrd", SessionWatch()
    program = start_python(
        """
        import os, signal, sys
        import rerun_mp as rr
        rr.init("rerun_mp_crash")
        rr.save(sys.argv[1])
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        child = os.fork()
        if child == 0:
            rr.log("child", rr.Scalars(1.0))
            signal.pause()
        rr.log("parent", rr.Scalars(1.0))
        print(child, flush=True)
        signal.sigwait({signal.SIGTERM})
        os.waitpid(child, 0)
        """,
        path,
        env=watch.environment,
    )
    wait_until(lambda: program.stdout.endswith("\n"), what="the child's number")
    child = int(program.stdout)
    for _ in range(3):
        watch.kill("worker")
        watch.collector("worker")
    os.kill(child, signal.SIGKILL)
    watch.kill("worker")
    wait_until(lambda: child not in living(watch), timeout_secs=30.0, what="the end of the child's account")
    os.kill(program.pid, signal.SIGTERM)
    program.wait().check()
    assert [text.split(" (")[1] for text in marks(path)] == [f"pid {child}) was killed by SIGKILL after row 1"]
