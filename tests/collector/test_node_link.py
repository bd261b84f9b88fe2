"""A node whose head is away: the parts that wait stay within their bound while the program runs."""

from __future__ import annotations

from pathlib import Path

from rerun_mp.shipping.accounts import node_accounts
from rerun_mp.shipping.parts import parts_below
from rerun_mp.shipping.shipper import unshipped_in
from tests.conftest import RunPython, StartPython
from tests.field.held import WAIT, held
from tests.harness.programs import wait_until

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
