"""A session seen from outside. `tests/cli/test_app.py` compares its figures with those of a program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.monitoring.overview import look_at
from rerun_mp.shm.layout import WORD, Header
from tests.conftest import StartPython
from tests.harness.sessions import SessionWatch

PROGRAM = """\
    import signal, sys
    import rerun_mp as rr
    rr.init("rerun_mp_overview")
    rr.save(sys.argv[1])
    rr.log("row", rr.TextLog("x"))
    rr.flush()
    print("logged", flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("in_header", [0, 1], ids=["not stored yet", "of an earlier one"])
def test_a_living_collectors_pids_are_its_own(in_header: int, start_python: StartPython, tmp_path: Path) -> None:
    """A collector has its lock for a moment before its pid is in the header.

    A caller that signals process 0 signals its own group.
    """
    watch = SessionWatch()
    program = start_python(PROGRAM, tmp_path / "out.rrd", env=watch.environment)
    program.wait_for_output("logged")
    found = {role: watch.collector(role).pid for role in ("guard", "worker")}
    with watch.stopped():
        with watch.segment.open("r+b", buffering=0) as file:
            for word in (Header.GUARD_PID, Header.WORKER_PID):
                os.pwrite(file.fileno(), in_header.to_bytes(WORD, "little"), word * WORD)
        view = look_at(str(watch.segment))
    assert view is not None
    collector = view.collector
    assert collector.is_guard_live
    assert collector.is_worker_live
    assert {"guard": collector.guard_pid, "worker": collector.worker_pid} == found
    assert view.participants == (program.pid,)
