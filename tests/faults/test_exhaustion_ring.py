"""P6: when the collector is stopped and the ring is full, calls follow the policy, and each row is counted."""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartPython
from tests.harness.programs import Program, wait_until
from tests.harness.recordings import Row, rows_of, verify
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

SMALL = {"RERUN_MP_RING_BYTES": str(512 * 1024), "RERUN_MP_SLOT_BYTES": str(64 * 1024)}
DROPPED_ENTITY = "__rerun_mp/dropped"
PROGRAMS = Path(__file__).with_name("programs")


def run_with_stopped_collector(
    start_python: StartPython, tmp_path: Path, environment: dict[str, str]
) -> tuple[dict[str, Any], Program, list[Row]]:
    """Run a program that logs while its collector is stopped. Returns its report, itself, and the file's rows."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(
        PROGRAMS / "filling_the_ring.py",
        path,
        fifo,
        tmp_path / "counts",
        env={**watch.environment, **SMALL, **environment},
    )
    program.wait_for_output("ready")
    with watch.stopped():
        fifo.write_bytes(b"")
        program.wait_for_output("logged\n")
    fifo.write_bytes(b"")
    program.wait().check()
    verify(path)
    report = json.loads(program.stdout.splitlines()[-1])
    assert report["is_exact"], report
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    return report, program, rows


def logged_by_program(rows: list[Row]) -> list[Row]:
    """Return the rows that the program logged itself."""
    return [row for row in rows if not row.entity_path.startswith("__rerun_mp")]


def test_rows_that_the_drop_policy_drops_are_counted_exactly(start_python: StartPython, tmp_path: Path) -> None:
    """`logged = delivered + dropped` for each producer. The recording and the program's last line agree."""
    report, program, rows = run_with_stopped_collector(start_python, tmp_path, {"RERUN_MP_POLICY": "drop"})
    delivered = Counter(row.entity_path.partition("/")[0] for row in logged_by_program(rows))
    texts = [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path == DROPPED_ENTITY]
    for pid, _, logged, in_store, dropped, by_policy, refused, blocked_ns in report["accounts"]:
        expected = report["expected"][str(pid)]
        assert logged == expected["called"] == in_store + dropped
        assert in_store == delivered[expected["name"]] + (expected["name"] == "parent") * delivered["warm"]
        assert (dropped, refused, blocked_ns) == (by_policy, 0, 0)
        assert dropped > 0
        assert any(f"(pid {pid}): {dropped} of {logged} rows dropped" in text for text in texts), texts
    assert sum(account[3] for account in report["accounts"]) == len(logged_by_program(rows))
    (line,) = [line for line in program.stderr.splitlines() if line.startswith("rerun_mp")]
    total = sum(account[4] for account in report["accounts"])
    assert f"{total} rows were dropped: {total} because the ring was full" in line
    assert "RERUN_MP_RING_BYTES" in line


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RERUN_MP_POLICY": "raise"}, "stayed so for 0."),
        (
            {"RERUN_MP_POLICY": "block", "RERUN_MP_BLOCK_TIMEOUT": "0.002", "RERUN_STRICT": "1"},
            "is full and stayed so for",
        ),
    ],
    ids=["raise", "block with a timeout in strict mode"],
)
def test_refused_rows_raise_and_are_counted(
    environment: dict[str, str], words: str, start_python: StartPython, tmp_path: Path
) -> None:
    """Each refused call raises `RingFullError`. Every other row is in the file, and no row counts as dropped."""
    report, program, rows = run_with_stopped_collector(start_python, tmp_path, environment)
    for pid, _, logged, delivered, dropped, _, refused, _ in report["accounts"]:
        expected = report["expected"][str(pid)]
        assert (logged, delivered, dropped, refused) == (
            expected["called"],
            expected["called"],
            0,
            expected["refused"],
        )
        assert refused > 0
        assert words in expected["message"]
    assert sum(account[3] for account in report["accounts"]) == len(rows)
    own, *children = (account[6] for account in report["accounts"])
    assert f"rerun_mp: {own} rows were not logged: {own} because the ring stayed full." in program.stderr
    assert f"other processes of the session could not log {sum(children)} rows" in program.stderr


GIVING_UP = """
import sys
import rerun_mp as rr
rr.init("rerun_mp_timeout")
rr.save(sys.argv[1])
rr.log("warm", rr.Scalars(0.0))
rr.flush()
print("ready", flush=True)
open(sys.argv[2]).read()
for step in range(8_000):
    rr.log("row", rr.TextLog(80 * "x"))
print("logged", rr.statistics().refused, flush=True)
open(sys.argv[2]).read()
"""


def test_a_call_that_waits_in_vain_warns_once_and_ends(start_python: StartPython, tmp_path: Path) -> None:
    """The policy is `block`, with a timeout. Each row is in the file, or counted by the cause."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    environment = {"RERUN_MP_POLICY": "block", "RERUN_MP_BLOCK_TIMEOUT": "0.0001"}
    program = start_python(GIVING_UP, path, fifo, env={**watch.environment, **SMALL, **environment})
    program.wait_for_output("ready")
    with watch.stopped():
        fifo.write_bytes(b"")
        program.wait_for_output("logged ")
    fifo.write_bytes(b"")
    done = program.wait().check()
    refused = int(done.stdout.split()[-1])
    assert refused > 0
    assert done.stderr.count("this row was not logged") == 1
    assert f"rerun_mp: {refused} rows were not logged: {refused} because the ring stayed full." in done.stderr
    assert Counter(row.entity_path for row in rows_of(path)) == {"warm": 1, "row": 8000 - refused}


BLOCKING = """
import os, sys
import rerun_mp as rr
rr.init("rerun_mp_block")
rr.save(sys.argv[1])
rr.log("warm", rr.Scalars(0.0))
rr.flush()
print("ready", flush=True)
open(sys.argv[2]).read()
for step in range(40_000):
    rr.set_time("step", sequence=step)
    rr.log("row", rr.Scalars(float(step)))
print("logged", flush=True)
rr.flush()
(account,) = rr.statistics().producers
print(account.logged, account.dropped, account.blocked_ns > 0, flush=True)
"""


def test_calls_that_block_wait_for_the_collector_and_lose_nothing(start_python: StartPython, tmp_path: Path) -> None:
    """Without a timeout, calls wait while the collector is stopped, and go on with it."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(BLOCKING, path, fifo, env={**watch.environment, **SMALL})
    program.wait_for_output("ready")
    with watch.stopped():
        fifo.write_bytes(b"")
        wait_until(lambda: watch.blocked_ns() > 1_000_000_000, what="a wait of a second")
        assert "logged" not in program.stdout
    done = program.wait().check()
    assert done.stdout.splitlines()[-1] == "40001 0 True"
    assert done.stderr == ""
    verify(path)
    assert [row.times["step"] for row in rows_of(path) if row.entity_path == "row"] == list(range(40_000))


@pytest.mark.soak
def test_a_collector_that_is_stopped_again_and_again_costs_no_row(start_python: StartPython, tmp_path: Path) -> None:
    """It is stopped again and again, anywhere in its work. Calls block meanwhile, and every row is stored once."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(BLOCKING, path, fifo, env={**watch.environment, **SMALL})
    program.wait_for_output("ready")
    threading.Thread(target=lambda: fifo.write_bytes(b"")).start()

    def has_waited_since(before: int) -> bool:
        return watch.blocked_ns() > before or "logged" in program.stdout

    for _ in range(5):
        with watch.stopped():
            before = watch.sweeps_done()
            wait_until(partial(has_waited_since, watch.blocked_ns()), what="a wait for space")
        if "logged" in program.stdout:
            break
        watch.wait_for_sweeps(1, since=before)
    done = program.wait().check()
    assert done.stdout.splitlines()[-1].startswith("40001 0")
    verify(path)
    assert [row.times["step"] for row in rows_of(path) if row.entity_path == "row"] == list(range(40_000))
