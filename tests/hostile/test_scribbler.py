"""A process scribbles over a live session's segment, while the real collector drains another process's rows.

The scribbler is a registered producer. It claims slots and writes anything into them and their control lines. It also
overwrites unused entries of the producers table, header words that only the collector writes, and header words that a
process reads once. It leaves alone what other processes own, so all of their rows must arrive.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import StartPython
from tests.harness.programs import wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.sessions import SessionWatch, is_running

PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize(
    ("steps", "seeds"), [(1000, (1,)), pytest.param(20_000, (2, 3), marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_a_scribbler_costs_no_row_of_another_process(
    steps: int, seeds: tuple[int, ...], start_python: StartPython, tmp_path: Path
) -> None:
    """No row of the honest producer is lost, doubled or counted as damaged, and the session ends as usual."""
    path, go, end = tmp_path / "out.rrd", tmp_path / "go", tmp_path / "end"
    watch = SessionWatch()
    env = {
        **watch.environment,
        "RERUN_MP_RING_BYTES": str(64 * 65536),
        "RERUN_MP_SLOT_BYTES": "65536",
        "RERUN_MP_PRODUCERS": "64",
    }
    honest = start_python(PROGRAMS / "honest.py", path, str(steps), go, env=env)
    honest.wait_for_output("begun")
    worker = watch.collector("worker")
    scribblers = [start_python(PROGRAMS / "scribbler.py", watch.segment, str(seed), end, go, env=env) for seed in seeds]
    for scribbler in scribblers:
        scribbler.wait_for_output("joined")
    go.touch()
    honest.wait_for_output("[", timeout_secs=150.0)
    assert is_running(worker), "the first worker has drained everything"
    end.touch()
    for scribbler in scribblers:
        done = scribbler.wait().check()
        assert int(done.stdout.split()[-1]) > 0
    done = honest.wait().check()
    wait_until(lambda: not any(watch.collectors().values()), what="the end of the session")
    expected = dict.fromkeys(("scalar", "text", "points", "frame"), steps) | {"image": -(-steps // 50), "begun": 1}
    assert json.loads(done.stdout.splitlines()[-1]) == [sum(expected.values()), 0]
    verify(path)
    rows = [row for row in rows_of(path) if row.entity_path in expected]
    assert Counter(row.entity_path for row in rows) == expected
    twice = [row_id for row_id, number in Counter(row.row_id for row in rows).items() if number > 1]
    assert [row for row in rows if row.row_id in twice] == []
    steps_of_scalars = sorted(row.times["step"] for row in rows if row.entity_path == "scalar")
    assert steps_of_scalars == list(range(steps))


def test_a_collector_is_replaced_after_the_header_was_overwritten(start_python: StartPython, tmp_path: Path) -> None:
    """The process that starts a collector remembers the founder's words, and restores them before."""
    path, fifo, watch = tmp_path / "out.rrd", tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(PROGRAMS / "header_written_over.py", path, fifo, env=watch.environment)
    program.wait_for_output("begun")
    watch.stop("guard", "worker")
    fifo.write_bytes(b"")
    program.wait_for_output("written over")
    watch.kill("guard", "worker")
    fifo.write_bytes(b"")
    program.wait(timeout_secs=60.0).check()
    wait_until(lambda: not any(watch.collectors().values()), what="the end of the session")
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {"value": 100, "child": 1}
