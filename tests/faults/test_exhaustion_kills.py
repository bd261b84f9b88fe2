"""P6 with P5: counts stay exact when the collector is killed while it drops, and when shared memory is damaged."""

from __future__ import annotations

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
from rerun_mp.waiting import wait_until

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
