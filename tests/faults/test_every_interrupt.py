"""P2 and P5: an exception anywhere in a `log` call costs that row at most.

Hazards 9, 21 and 22: the process goes on logging, no returned row is lost or repeated, no slot stays open or locked, no
mutex stays held, and no fork or later call hangs. `make test` tries every n-th place, beginning at a random one;
`make soak` tries all.
"""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunPython
from tests.faults.programs.calls import CALLS, LARGE, RING_BYTES, SMALL_RING_BYTES
from tests.faults.rows_by_number import Recorded, accounts_without_loss

pytestmark = pytest.mark.real_collectors

PROGRAMS = Path(__file__).with_name("programs")
EXCEPTIONS = ("KeyboardInterrupt", "MemoryError", "ArbitraryError")
AFTER = 3
"""Rows logged after each interrupted one: by the same thread, by another thread, and by that thread's child."""


def test_an_interrupt_in_the_middle_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """A signal arrives between two instructions. Python raises KeyboardInterrupt at its next check."""
    interrupt(run_python, tmp_path, "signal", CALLS, stride=499)


def test_an_exception_in_the_middle_costs_that_row_alone(run_python: RunPython, tmp_path: Path) -> None:
    """Any call that `log` makes inside the package may raise, because of memory or any other cause."""
    interrupt(run_python, tmp_path, random.choice(EXCEPTIONS), CALLS, stride=41)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["signal", *EXCEPTIONS])
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_anywhere_in_a_call_costs_that_row_alone(
    name: str, how: str, run_python: RunPython, tmp_path: Path
) -> None:
    """The same at every place in every kind of call."""
    interrupt(run_python, tmp_path, how, [name], stride=1)


def interrupt(run_python: RunPython, tmp_path: Path, how: str, names: Collection[str], *, stride: int) -> None:
    """Run the program, and check its file and the session's accounts."""
    first = random.randrange(stride)
    for ring_bytes, chosen in (
        (RING_BYTES, [name for name in names if name not in LARGE]),
        (SMALL_RING_BYTES, [name for name in names if name in LARGE]),
    ):
        if not chosen:
            continue
        path, environment = tmp_path / f"{ring_bytes}.rrd", {"RERUN_MP_RING_BYTES": str(ring_bytes)}
        done = run_python(
            PROGRAMS / "interrupted.py", path, how, str(first), str(stride), *chosen, env=environment, timeout=500.0
        ).check()
        *reports, left = map(json.loads, done.stdout.splitlines())
        recorded = Recorded.read(path)
        assert left == accounts_without_loss(len(recorded))
        assert [report["call"] for report in reports] == chosen
        for report in reports:
            check(recorded, report, how, range(first, report["last"] + 1, stride))


def check(recorded: Recorded, report: dict[str, Any], how: str, turns: range) -> None:
    """Check all rows of one kind of call."""
    name, before = report["call"], report["before"]
    extra = 0
    for at in turns:
        after = range(before + 1, before + 1 + AFTER)
        # An exception that became a warning may have cost the row as well: then it is only checked if it is there.
        unsure = [before] if at in report["interrupted"] or at != turns[-1] else []
        returned = [*range(before), *after, *([] if unsure else [before])]
        extra += recorded.take(name, at, returned=returned, unsure=unsure)
    if how in ("signal", "KeyboardInterrupt"):
        assert set(report["interrupted"]) >= set(turns[:-1])
    print(f"{name}, {how}: {len(turns) - 1} turns; {extra} rows were committed")
