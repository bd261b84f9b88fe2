"""P5 and P6: counts stay exact when the collector is killed while it drops rows, and when slots are damaged."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch

pytestmark = pytest.mark.real_collectors

MIB = 1 << 20
PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize("kills", [2, pytest.param(30, marks=pytest.mark.soak)])
def test_counts_are_exact_if_the_collector_is_killed_while_the_spool_overflows(
    kills: int, start_python: StartPython, tmp_path: Path
) -> None:
    """A repeated sweep counts once for each producer, even if its rows were delivered first and dropped later."""
    path, stop, watch = tmp_path / "out.rrd", tmp_path / "stop", SessionWatch()
    environment = {**watch.environment, "RERUN_MP_SPOOL_BYTES": str(8 * MIB), "RERUN_MP_RING_BYTES": str(4 * MIB)}
    program = start_python(PROGRAMS / "dropping.py", path, stop, env=environment)
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


@pytest.mark.parametrize(
    "is_killed", [pytest.param(False, marks=pytest.mark.soak), True], ids=["", "and the collector is killed"]
)
def test_rows_whose_bytes_are_damaged_are_counted_exactly(
    is_killed: bool, start_python: StartPython, tmp_path: Path
) -> None:
    """P8: frames, chains and tables that do not parse cost their rows. The producer's account counts them."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    sizes = {"RERUN_MP_RING_BYTES": str(4 * MIB), "RERUN_MP_SLOT_BYTES": str(64 * 1024)}
    program = start_python(PROGRAMS / "damaging.py", path, fifo, env={**watch.environment, **sizes})
    program.wait_for_output("ready")
    with watch.stopped():
        before = watch.sweeps_done()
        fifo.write_bytes(b"")
        program.wait_for_output("harmed")
    if is_killed:
        watch.wait_for_sweeps(1, since=before)
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
