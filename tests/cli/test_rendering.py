"""The tables of `rerun-mp`: rates come from two looks, durations are short."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rerun_mp.cli import rendering
from rerun_mp.cli.doctor import Check


def view(taken_secs: float, *logged: int) -> Any:
    processes = [SimpleNamespace(pid=pid, started_ns=7, logged=rows) for pid, rows in enumerate(logged)]
    return SimpleNamespace(name="session", taken_ns=int(taken_secs * 1e9), processes=processes)


def test_a_rate_needs_two_looks_at_the_process() -> None:
    rates = rendering.Rates()
    first, second = view(1.0, 100), view(3.0, 300, 50)
    rates.note([first])
    assert rates.of(first, first.processes[0]) is None
    assert rates.total(first) is None
    rates.note([second])
    assert rates.of(second, second.processes[0]) == 100.0
    assert rates.of(second, second.processes[1]) is None
    assert rates.total(second) == 100.0


@pytest.mark.parametrize(("secs", "text"), [(5, "5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2 d")])
def test_durations_have_the_largest_unit_that_fits_twice(secs: float, text: str) -> None:
    assert rendering.duration(secs) == text


def test_an_advice_stands_below_its_check() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(rendering.checks([Check("spool", "problem", "full", "make room"), Check("kernel", "ok", "Linux")]))
    assert [line.split() for line in console.export_text().splitlines()] == [
        ["✗", "spool", "full"],
        ["→", "make", "room"],
        ["✓", "kernel", "Linux"],
    ]
