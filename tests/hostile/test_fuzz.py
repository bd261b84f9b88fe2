"""A collector drains any bytes in shared memory: it neither crashes nor hangs nor grows, and loses no intact row."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.programs import ROOT
from tests.hostile.fuzz import Fuzzer
from tests.hostile.mutations import EXTREMES
from tests.hostile.victims import GEOMETRY, Victim, fill

SOAK_SEEDS = range(100, 120)
SOAK_COUNT = 50_000
"""Segments of each seed: a million in total."""


def fuzz(seed: int, count: int, *, timeout_secs: float) -> str:
    """Run the fuzzer's command in a process of its own, and return its output."""
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--seed", str(seed), "--count", str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_secs, check=False)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_damaged_segments_cost_only_their_damaged_rows() -> None:
    """Two thousand segments, damaged at random. `tests.hostile.fuzz` lists the promises."""
    output = fuzz(7, 2000, timeout_secs=200.0)
    assert "damage counted" in output
    assert "harmless" in output
    assert "chunks written and read" in output


def test_any_bytes_anywhere_cost_only_damaged_rows(place: Path) -> None:
    """Hypothesis chooses the damage, and reduces a failure to the few bytes that cause it."""
    directory = place / "hostile"
    directory.mkdir(mode=0o700)
    with fill(str(directory)) as victims:
        fuzzer = Fuzzer(victims, 0, directory)

        @given(
            st.sampled_from(victims[:-1]),
            st.lists(
                st.tuples(
                    st.integers(0, GEOMETRY.slot_bytes - 1) | st.integers(0, 600),
                    st.binary(min_size=1, max_size=32) | st.sampled_from([n.to_bytes(8, "little") for n in EXTREMES]),
                ),
                min_size=1,
                max_size=3,
            ),
        )
        @settings(max_examples=300)
        def check_damage(victim: Victim, damage: list[tuple[int, bytes]]) -> None:
            def do(_rng: random.Random, damaged: Victim) -> None:
                for within, data in damage:
                    at = GEOMETRY.slot_offset(damaged.slots[0]) + within
                    end = min(at + len(data), GEOMETRY.slot_offset(damaged.slots[0] + 1))
                    damaged.image.memory[at:end] = data[: end - at]

            fuzzer.run_on(victim, do, random.Random(0), 0)

        check_damage()


@pytest.mark.soak
@pytest.mark.timeout(3 * 3600)
def test_a_million_damaged_segments_cost_only_their_damaged_rows(
    record_property: Callable[[str, object], None],
) -> None:
    """Enough segments for rare damage. Two seeds run at a time, each in a process of its own."""
    with ThreadPoolExecutor(2) as pool:
        for output in pool.map(lambda seed: fuzz(seed, SOAK_COUNT, timeout_secs=3600.0), SOAK_SEEDS):
            record_property("fuzz", output)
