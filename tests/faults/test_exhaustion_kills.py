"""P6 with P5: counts stay exact when the collector is killed while it drops, and when shared memory is damaged."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

MIB = 1 << 20

DROPPING = """
import json, os, sys
import numpy as np
import rerun_mp as rr
from rerun_mp.session.waiting import wait_until

path, stop = sys.argv[1:]
rr.init("rerun_mp_dropping")
random = np.random.default_rng(0)
children = []
name = "parent"
for number in range(2):
    child = os.fork()
    if child == 0:
        name = f"child_{number}"
        break
    children.append(child)
logged = 0
while not os.path.exists(stop):
    for step in range(50):
        rr.log(f"{name}/scalar", rr.Scalars(float(step)))
        rr.log(f"{name}/image", rr.Image(random.integers(0, 256, (100, 100, 3), np.uint8)))
        logged += 2
print(name, os.getpid(), logged, flush=True)
if name != "parent":
    os._exit(0)
for child in children:
    os.waitpid(child, 0)
rr.flush()
wait_until(lambda: not any(a.is_live for a in rr.statistics().producers if a.pid != os.getpid()), 30)
rr.save(path)
rr.flush()
for account in rr.statistics().producers:
    print("account", account.pid, account.logged, account.delivered, account.dropped, flush=True)
"""


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_counts_are_exact_though_the_collector_is_killed_while_the_spool_overflows(
    kills: int, start_python: StartPython, tmp_path: Path
) -> None:
    """Per producer: a repeated sweep counts once, whether its rows were delivered or dropped, or first the one."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    environment = {**watch.environment, "RERUN_MP_SPOOL_BYTES": str(8 * MIB), "RERUN_MP_RING_BYTES": str(4 * MIB)}
    program = start_python(DROPPING, path, stop, env=environment)
    for _ in range(kills):
        watch.wait_for_sweeps(5)
        watch.kill("worker")
    watch.wait_for_sweeps(5)
    stop.touch()
    done = program.wait(timeout_secs=90.0).check()
    lines = [line.split() for line in done.stdout.splitlines()]
    logged = {pid: (name, int(number)) for name, pid, number in (line for line in lines if line[0] != "account")}
    accounts = {pid: tuple(map(int, figures)) for _, pid, *figures in (line for line in lines if line[0] == "account")}
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    in_file = Counter(row.entity_path.partition("/")[0] for row in rows)
    assert {pid: figures[0] for pid, figures in accounts.items()} == {
        pid: number for pid, (_, number) in logged.items()
    }
    assert {pid: figures[1] for pid, figures in accounts.items()} == {
        pid: in_file[name] for pid, (name, _) in logged.items()
    }
    assert sum(figures[2] for figures in accounts.values()) > 0


DAMAGED = """
import json, os, sys
import numpy as np
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Kind, Line, SlotState
from rerun_mp.session.waiting import wait_until

path, fifo = sys.argv[1:]
rr.init("rerun_mp_damaged")
rr.save(path)
rr.log("warm", rr.Scalars(0.0))
rr.flush()
print("ready", flush=True)
open(fifo).read()
logged = 1
image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
large = np.zeros((300, 300, 3), np.uint8)
columns = rr.Scalars.columns(scalars=np.arange(5.0))
times = [rr.TimeColumn("step", sequence=range(5))]

def log_all():
    global logged
    for step in range(40):
        rr.log("scalar", rr.Scalars(float(step)))
        rr.log("text", rr.TextLog("text"))
        rr.log("image", rr.Image(image))
        rr.send_columns("columns", times, columns)
        logged += 8

log_all()
rr.log("large", rr.Image(large))
logged += 1
ring = current.session().segment.ring
harmed = set()
for slot, state in enumerate(ring.states.tolist()):
    line = ring.geometry.line_word(slot)
    count, kind = ring.words[line + Line.COUNT], ring.words[line + Line.KIND]
    begin = ring.geometry.slot_offset(slot)
    if state & 0xFF not in (SlotState.OPEN, SlotState.SEALED) or not count or slot in harmed:
        continue
    if kind == Kind.FRAMES:
        at = begin
        for _ in range(21):
            size = int.from_bytes(ring.memory[at : at + 4], "little")
            if at + size >= begin + count:
                break
            at += size
        ring.memory[at : at + 8] = bytes([255]) * 8
    elif kind == Kind.HEAD:
        ring.memory[begin : begin + 4] = bytes([255]) * 4
    elif kind == Kind.TABLE:
        ring.memory[begin + 4096 : begin + ring.geometry.slot_bytes] = bytes([255]) * (ring.geometry.slot_bytes - 4096)
    harmed.add(slot)
print("harmed", len(harmed), flush=True)
open(fifo).read()
log_all()
rr.disconnect()  # lets go of the slots
rr.save(path + ".later")
log_all()
rr.flush()
assert wait_until(lambda: rr.statistics().logged == logged, 30), (rr.statistics(), logged)
(account,) = rr.statistics().producers
print(account.logged, account.delivered, account.dropped_by_damage, account.dropped, flush=True)
"""


@pytest.mark.parametrize(
    "is_killed", [pytest.param(False, marks=pytest.mark.soak), True], ids=["", "and the collector is killed"]
)
def test_rows_whose_bytes_are_damaged_are_counted_exactly(
    is_killed: bool, start_python: StartPython, tmp_path: Path
) -> None:
    """P8: frames, chains and tables that do not parse cost their rows, which the owner has counted elsewhere."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    sizes = {"RERUN_MP_RING_BYTES": str(4 * MIB), "RERUN_MP_SLOT_BYTES": str(64 * 1024)}
    program = start_python(DAMAGED, path, fifo, env={**watch.environment, **sizes})
    program.wait_for_output("ready")
    with watch.stopped():
        fifo.write_bytes(b"")
        program.wait_for_output("harmed")
    if is_killed:
        watch.wait_for_sweeps(1)
        watch.kill("worker")
    fifo.write_bytes(b"")
    done = program.wait(timeout_secs=60.0).check()
    logged, delivered, damaged, dropped = map(int, done.stdout.splitlines()[-1].split())
    assert logged == 1 + 3 * 320 + 1 == delivered + dropped
    assert damaged == dropped > 0
    files = [Path(name) for name in (path, f"{path}.later")]
    for name in files:
        verify(name)
    rows = [row for name in files for row in rows_of(name) if not row.entity_path.startswith("__rerun_mp")]
    assert len({row.row_id for row in rows}) == len(rows) == delivered
    assert f"{damaged} because their bytes in shared memory were damaged" in done.stderr
