"""P2 and P5: a signal handler that forks anywhere in a `log` call costs neither process a row.

Hazards 9 and 10. The parent logs the row of the interrupted call. The child logs it too, unless the parent had
committed it before the fork. `make test` tries every n-th place, beginning at a random one; `make soak` tries all.
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


def test_a_fork_in_the_middle_of_an_append_costs_no_row(run_python: RunPython, tmp_path: Path) -> None:
    """In the appends of all forms of tables."""
    fork(run_python, tmp_path, HOT, stride=19)


def test_a_fork_in_the_middle_of_a_slow_call_costs_no_row(run_python: RunPython, tmp_path: Path) -> None:
    """In frames, and in calls that claim, seal or register."""
    fork(run_python, tmp_path, SLOW, stride=307)


def test_a_fork_in_the_middle_of_a_large_message_costs_no_row(run_python: RunPython, tmp_path: Path) -> None:
    """In chains, and in messages that go through a file. Neither process removes the other's file."""
    fork(run_python, tmp_path, LARGE, stride=211, ring_bytes=SMALL_RING_BYTES)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CALLS)
def test_a_fork_anywhere_in_a_call_costs_no_row(name: str, run_python: RunPython, tmp_path: Path) -> None:
    """The same at every place in every kind of call."""
    fork(run_python, tmp_path, [name], stride=1, ring_bytes=SMALL_RING_BYTES if name in LARGE else RING_BYTES)


def fork(
    run_python: RunPython, tmp_path: Path, names: Collection[str], *, stride: int, ring_bytes: int = RING_BYTES
) -> None:
    """Run the program, and check its file and the session's accounts."""
    path, first = tmp_path / "out.rrd", random.randrange(stride)
    environment = {"RERUN_MP_RING_BYTES": str(ring_bytes)}
    done = run_python(
        PROGRAMS / "forked.py", path, str(first), str(stride), *names, env=environment, timeout=800.0
    ).check()
    *reports, left = map(json.loads, done.stdout.splitlines())
    recorded = Recorded.read(path)
    number = len(recorded)
    assert [report["call"] for report in reports] == list(names)
    for report in reports:
        check(recorded, report, range(first, report["last"] + 1, stride))
    assert left == accounts_without_loss(number)


def check(recorded: Recorded, report: dict[str, Any], turns: range) -> None:
    """Check all rows of one kind of call."""
    name, before = report["call"], report["before"]
    again = forks = 0
    for at in turns:
        forked = any(row.times["step"] == before + 2 for row in recorded.by_entity[f"{name}/{at}"])
        returned = range(before + 2 + forked)
        again += recorded.take(name, at, returned=returned, twice=[before] if forked else [])
        forks += forked
    assert forks == report["forks"] >= len(turns) - 1
    assert again or forks < 2, f"{name}: no child has logged the row again"
    print(f"{name}: {forks} forks; {again} children logged the row again")
