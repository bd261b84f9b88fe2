"""Blueprints: sent from any process, before or after rows, they reach every sink, and no row suffers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import RERUN_BINARY, rows_of, verify
from tests.harness.servers import Server
from tests.harness.viewers import free_port

PROGRAM = """
import os, signal, sys
import rerun_mp as rr
import rerun_mp.blueprint as rrb
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_blueprints")
if len(sys.argv) > 3:
    rr.set_sinks(rr.FileSink(sys.argv[1]), rr.GrpcSink(sys.argv[3]))
else:
    rr.save(sys.argv[1])

def in_child(call):
    child = os.fork()
    if child == 0:
        call()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

def rows(name):
    for step in range(100):
        rr.set_time("step", sequence=step)
        rr.log(name, rr.Scalars(float(step)))
    rr.flush()

def kill():
    words = current.session().segment.ring.words
    lives = words[Header.WORKER_LIVES]
    os.kill(words[Header.WORKER_PID], signal.SIGKILL)
    while words[Header.WORKER_LIVES] == lives:
        current.session().watch_collector()

for action in sys.argv[2].split():
    if action == "rows":
        rows(f"rows/{len(os.listdir('/proc/self/fd'))}")
    elif action == "kill":
        kill()
    else:
        view = rrb.TimeSeriesView(origin=action) if action != "active" else rrb.Spatial3DView(origin=action)
        in_child(lambda: rr.send_blueprint(rrb.Blueprint(view), make_active=action == "active", make_default=True))
        rr.flush()
"""


def shown(path: Path) -> list[tuple[str, bool]]:
    """Return the blueprints of a file in their order: the origin of their view, and whether they are made active."""
    done = subprocess.run([RERUN_BINARY, "rrd", "print", "-vvv", str(path)], capture_output=True, text=True, check=True)
    found: list[tuple[str, bool]] = []
    origin = ""
    for line in done.stdout.splitlines():
        for name in ("first", "second", "active"):
            if f"/{name}" in line or f'"{name}"' in line or f"[{name}]" in line:
                origin = name
        if line.startswith("BlueprintActivationCommand"):
            found.append((origin, "make_active: true" in line))
            origin = ""
    return found


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        ("first rows", ["first"]),
        ("rows first rows", ["first"]),
        ("rows first rows active", ["first", "active"]),
        # What is merged has only the last one, which is what a viewer would show.
        ("rows first kill rows", ["first"]),
        ("first rows kill second rows", ["second"]),
        ("rows kill active", ["active"]),
    ],
)
def test_a_blueprint_is_in_the_file_and_every_row_too(
    actions: str, expected: list[str], run_python: RunPython, tmp_path: Path
) -> None:
    """Wherever it comes between rows, and whoever dies after it."""
    path = tmp_path / "out.rrd"
    run_python(PROGRAM, path, actions).check()
    verify(path)
    assert len(rows_of(path)) == 100 * actions.split().count("rows")
    assert shown(path) == [(name, name == "active") for name in expected]


def test_a_blueprint_reaches_a_server(run_python: RunPython, tmp_path: Path) -> None:
    """In the middle of a recording."""
    server = Server(tmp_path / "served.rrd", free_port())
    try:
        run_python(PROGRAM, tmp_path / "out.rrd", "rows active rows", server.url).check()
    finally:
        server.end()
    assert shown(tmp_path / "served.rrd") == [("active", True)]
    assert sum(server.rows().values()) == 200
