"""The recording names each process that a signal killed, and its last row. SIGTERM and exits are no crashes."""

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

PROGRAM = Path(__file__).with_name("programs") / "crashing.py"


def marks(path: Path) -> list[Any]:
    """Return the texts that the collector logged about killed processes."""
    rows = rows_of(path, properties=True)
    return [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path.strip("/") == ENTITY]


def living(watch: SessionWatch) -> set[int]:
    """Return the process ids of the producers that the collector has not cleared up after."""
    view = look_at(str(watch.segment))
    assert view is not None
    return {process.pid for process in view.processes if process.is_live}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_killed_processes_are_reported_and_no_others(method: str, run_python: RunPython, tmp_path: Path) -> None:
    """Even processes that live for a few milliseconds while the collector starts."""
    path = tmp_path / "run.rrd"
    pids = eval(run_python(PROGRAM, path, method).check().stdout)
    expected = {"worker SIGKILL": "SIGKILL", "worker segfault": "SIGSEGV", "worker SIGUSR1": "SIGUSR1"}
    assert sorted(marks(path)) == sorted(
        f"{name} (pid {pids[name]}) was killed by {cause} after row 1,234" for name, cause in expected.items()
    )
    (row, *_) = [row for row in rows_of(path, properties=True) if row.entity_path.strip("/") == ENTITY]
    assert row.components["TextLog:level"].as_py() == ["CRITICAL"]


def test_a_death_is_reported_once_although_the_collector_is_killed(start_python: StartPython, tmp_path: Path) -> None:
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
    wait_until(lambda: program.stdout.endswith("\n"), what="the child's id")
    child = int(program.stdout)
    for _ in range(3):
        watch.kill("worker")
        watch.collector("worker")
    os.kill(child, signal.SIGKILL)
    watch.kill("worker")
    wait_until(lambda: child not in living(watch), what="the end of the child's account")
    os.kill(program.pid, signal.SIGTERM)
    program.wait().check()
    assert [text.split(" (")[1] for text in marks(path)] == [f"pid {child}) was killed by SIGKILL after row 1"]
