"""P2 and P5: a process killed before any instruction of a `log` call costs that row at most.

The instructions are those of rerun_mp's own code. SIGKILL may come between any two of them. `make test` tries every
n-th, beginning at a random one; `make soak` tries all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPython
from tests.faults.programs.calls import CALLS, HOT, LARGE, RING_BYTES, SLOW, SMALL_RING_BYTES
from tests.faults.rows_by_number import Recorded, accounts_without_loss

pytestmark = pytest.mark.real_collectors

PROGRAMS = Path(__file__).with_name("programs")


def test_a_process_killed_anywhere_in_the_hot_path_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """Before every instruction of logging a number. A traced call runs the same functions as an untraced one."""
    kill(run_python, tmp_path, ["number"], stride=1)


def test_a_process_killed_in_an_append_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """In the appends of all forms of tables."""
    kill(run_python, tmp_path, HOT, stride=13)


def test_a_process_killed_in_a_slow_call_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """In frames, and in calls that claim, seal or register."""
    kill(run_python, tmp_path, SLOW, stride=149)


def test_a_process_killed_in_a_large_message_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """In chains, and in messages that go through a file. The file does not stay behind."""
    kill(run_python, tmp_path, LARGE, stride=197, ring_bytes=SMALL_RING_BYTES)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CALLS)
def test_a_process_killed_before_any_instruction_costs_that_row_alone(
    name: str, run_python: RunPython, tmp_path: Path
) -> None:
    """The same before every instruction of every kind of call."""
    kill(run_python, tmp_path, [name], stride=1, ring_bytes=SMALL_RING_BYTES if name in LARGE else RING_BYTES)


def kill(
    run_python: RunPython, tmp_path: Path, names: Collection[str], *, stride: int, ring_bytes: int = RING_BYTES
) -> None:
    """Run the program, and check its file and the session's accounts."""
    path, first = tmp_path / "out.rrd", random.randrange(stride)
    environment = {"RERUN_MP_RING_BYTES": str(ring_bytes)}
    done = run_python(
        PROGRAMS / "killed.py", path, str(first), str(stride), *names, env=environment, timeout=500.0
    ).check()
    *reports, left = map(json.loads, done.stdout.splitlines())
    recorded = Recorded.read(path)
    number = len(recorded)
    assert [report["call"] for report in reports] == list(names)
    for report in reports:
        check(recorded, report, first, stride)
    assert left == accounts_without_loss(number)


def check(recorded: Recorded, report: dict[str, Any], first: int, stride: int) -> None:
    """Check all rows of one kind of call, and the functions that it ran."""
    name, before = report["call"], report["before"]
    assert set(report["functions"]) >= CALLS[name].runs
    assert not set(report["functions"]) & CALLS[name].avoids
    turns = range(first, report["last"] + 1, stride)
    extra = 0
    for at in turns[:-1]:
        extra += recorded.take(name, at, returned=range(before), unsure=[before])
    recorded.take(name, turns[-1], returned=range(before + 1))
    beside = sorted(row.times["step"] for row in recorded.by_entity.pop(f"beside/{name}"))
    assert beside == list(turns)
    print(f"{name}: {len(turns) - 1} deaths in {report['instructions']} instructions; {extra} rows were committed")
