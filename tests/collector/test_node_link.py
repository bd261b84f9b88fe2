"""A node whose head is away: the parts that wait stay within their bound while the program runs."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from rerun_mp.collector.node_link import MAX_SHIP_SECS
from rerun_mp.shipping.accounts import node_accounts
from rerun_mp.shipping.parts import parts_below
from rerun_mp.shipping.shipper import unshipped_in
from tests.conftest import RunPython, StartPython
from tests.field.held import WAIT, held
from tests.harness.programs import wait_until
from tests.harness.sessions import SessionWatch

MAX_BYTES = 12_000
PROGRAM = f"""
import threading, time
import rerun_mp as rr
rr.init("rerun_mp_bounded")
def log():
    while True:
        rr.log("text", rr.TextLog("x" * 2000))
        time.sleep(0.002)
threading.Thread(target=log, daemon=True).start()
{WAIT}
"""


def test_parts_that_wait_are_bounded_while_the_program_runs(start_python: StartPython, tmp_path: Path) -> None:
    away, gate, parts = tmp_path / "away", tmp_path / "gate", tmp_path / "parts"
    away.touch()  # a file, so that it takes no part
    environment = {
        "RERUN_MP_SHIP_TO": str(away),
        "RERUN_MP_PARTS_DIRECTORY": str(parts),
        "RERUN_MP_PART_BYTES": "4096",
        "RERUN_MP_PARTS_BYTES": str(MAX_BYTES),
        "RERUN_MP_SHIP_TIMEOUT": "0",
    }
    with held(gate):
        program = start_python(PROGRAM, gate, env=environment)
        wait_until(
            lambda: (
                any(part.number > 4 for part, _ in parts_below(parts)) and unshipped_in(parts).num_bytes <= MAX_BYTES
            ),
            what="the removal of the oldest parts",
        )
    stderr = program.wait().check().stderr
    assert "rows were removed from" in stderr
    assert f"the oldest of more than {MAX_BYTES:,} bytes" in stderr
    assert f"are not at {away} yet" in stderr


RECORDINGS = 20
MANY = f"""
import rerun_mp as rr
for number in range({RECORDINGS}):
    recording = rr.RecordingStream("rerun_mp_many", recording_id=f"episode {{number}}")
    recording.log("x", rr.Scalars(1.0))
"""


def test_the_head_learns_of_every_recording(run_python: RunPython, tmp_path: Path) -> None:
    """A robot that logs one recording for each episode has many."""
    environment = {"RERUN_MP_SHIP_TO": str(tmp_path / "runs"), "RERUN_MP_PARTS_DIRECTORY": str(tmp_path / "parts")}
    assert run_python(MANY, env=environment).check().stderr == ""
    found = [(node.state, node.stored, node.acknowledged) for node in node_accounts(tmp_path / "runs")]
    assert found == [("ended", 1, 1)] * RECORDINGS


ROWS = 7
HUNG = f"""
import rerun_mp as rr
rr.init("rerun_mp_hung")
for _ in range({ROWS}):
    rr.log("x", rr.Scalars(1.0))
rr.flush()
print("stored", flush=True)
{WAIT}
"""


def test_a_directory_that_hangs_keeps_no_program(start_python: StartPython, tmp_path: Path) -> None:
    """As a shared directory whose server is away: the worker's open of its copy never returns. A shipper's does."""
    watch = SessionWatch()
    runs, gate = tmp_path / "runs", tmp_path / "gate"
    environment = {"RERUN_MP_SHIP_TO": str(runs), "RERUN_MP_PARTS_DIRECTORY": str(tmp_path / "parts")}
    with held(gate):
        program = start_python(HUNG, gate, env={**environment, **watch.environment})
        program.wait_for_output("stored")
        wait_until(lambda: node_accounts(runs), what="the node's first report")
        worker, (node,) = watch.collector("worker"), node_accounts(runs)
        place = runs / node.recording / node.node
        place.mkdir(parents=True)
        os.mkfifo(place / f".0001-{ROWS}-rows.rrd.{socket.gethostname()}.{worker.pid}.partial")
    begin = time.monotonic()
    stderr = program.wait().check().stderr
    assert time.monotonic() < begin + MAX_SHIP_SECS
    assert f"1 parts with {ROWS} rows of this host are not at {runs} yet (it does not answer)" in stderr
    wait_until(lambda: [(one.state, one.acknowledged) for one in node_accounts(runs)] == [("ended", ROWS)], what="it")
