"""A collector drains whatever lies in shared memory: no crash, no hang, no memory without end, no intact row lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.programs import ROOT

SOAK_SEEDS = range(100, 120)
SOAK_COUNT = 50_000
"""Segments of each seed: a million together."""


def fuzz(seed: int, count: int, *, timeout_secs: float) -> str:
    """Run the fuzzer in a process of its own, as anybody can by hand, and return what it said."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--seed", str(seed), "--count", str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_secs, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_damaged_segments_cost_what_is_damaged() -> None:
    """Some thousand segments, damaged at random: see `tests.hostile.fuzz` for what must hold of each."""
    said = fuzz(7, 2500, timeout_secs=200.0)
    assert "damage counted" in said
    assert "harmless" in said
    assert "chunks written and read" in said


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_million_damaged_segments(record_property: Callable[[str, object], None]) -> None:
    """The same, long enough to meet what is rare; each seed has a process of its own, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        for said in pool.map(lambda seed: fuzz(seed, SOAK_COUNT, timeout_secs=3600.0), SOAK_SEEDS):
            record_property("fuzz", said)
