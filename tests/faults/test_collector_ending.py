"""If a collector is killed while its session ends, the next collector completes the end."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm.layout import SessionState
from tests.conftest import StartPython
from tests.harness.leftovers import Machine
from tests.harness.programs import COMMAND, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

ROWS = 2000

SAVING = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_ending")
rr.set_sinks(rr.FileSink(sys.argv[1]), rr.GrpcSink(sys.argv[2]))
for step in range(ROWS):
    rr.log("row", rr.Scalars(float(step)))
""".replace("ROWS", str(ROWS))


@pytest.fixture
def mute_server() -> Iterator[socket.socket]:
    """Listen on a port and never answer, as a frozen viewer. The end of a session waits some seconds for it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.mark.parametrize(
    "roles",
    [
        pytest.param(("worker",), id="worker"),
        pytest.param(("guard", "worker"), id="guard+worker", marks=pytest.mark.soak),
    ],
)
def test_a_collector_killed_after_the_files_are_complete_leaves_them_complete(
    roles: tuple[str, ...], mute_server: socket.socket, place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """The next collector, which a new guard or the next program starts, must not begin the file again."""
    machine, path, watch = Machine.snapshot(place), tmp_path / "out.rrd", SessionWatch()
    url = f"rerun+http://127.0.0.1:{mute_server.getsockname()[1]}/proxy"
    program = start_python(SAVING, path, url, env=watch.environment)
    watch.wait_for_state(SessionState.FILES_COMPLETE)
    # The worker stays in this state for a second. If this process did not run meanwhile, nothing is left to kill.
    watch.kill_running(*roles)
    mute_server.close()  # the next collector does not wait for the server
    program.wait().check()
    if "guard" in roles:
        start_python("import rerun_mp as rr; rr.init('rerun_mp_next')").wait().check()
    wait_until(lambda: not machine.leftovers(), what="the session's end")
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"row": ROWS}


LARGE = """
import sys
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_ending")
rr.save(sys.argv[1])
image = np.zeros((1000, 1000, 3), np.uint8)
for step in range(20):
    rr.log("image", rr.Image(image))
rr.flush()
print("stored", flush=True)
open(sys.argv[2]).read()
for step in range(20):
    rr.log("image", rr.Image(image))
"""


def test_a_program_that_waits_for_its_files_gets_another_collector(
    place: Path, start_python: StartPython, tmp_path: Path
) -> None:
    """Hazard 19: guard and worker are killed while they complete the file, and only the program is left."""
    machine, path, watch = Machine.snapshot(place), tmp_path / "out.rrd", SessionWatch()
    go_on = tmp_path / "go_on"
    os.mkfifo(go_on)
    program = start_python(LARGE, path, go_on, env=watch.environment)
    program.wait_for_output("stored")
    watch.kill("worker")  # the file now has two parts, and completing it takes a while
    go_on.write_bytes(b"x")
    watch.wait_for_state(SessionState.ENDING)
    watch.kill_running()
    program.wait().check()
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"image": 40}
    # If the file was complete at the kill, the program has started no other collector.
    start_python(COMMAND, "recover").wait().check()
    wait_until(lambda: not machine.leftovers(), what="the session's end")
