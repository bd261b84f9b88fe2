"""The rests of the worker between two sweeps, and sweeps that follow without a rest."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from rerun_mp.collector.drain import sweep
from rerun_mp.collector.worker import LONG_MAX_REST, REST_FACTOR, Worker
from rerun_mp.shm.doorbell import Ringer, remove
from rerun_mp.shm.layout import Header, SlotState
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import log

SLOTS = 4


@pytest.fixture
def worker(made: Segment) -> Iterator[Worker]:
    """Make a worker that runs no loop, of a segment with rows in four slots."""
    made.ring.words[Header.SPOOL_BYTES] = 1 << 30
    for _ in range(SLOTS):
        log(made, 1)
    descriptor = made.open()
    try:
        yield Worker(made, descriptor)
    finally:
        remove(made.nonce)
        os.close(descriptor)


def test_a_caller_that_has_rung_waits_for_no_rest_between_full_sweeps(
    worker: Worker, made: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It rings once, and its rows may need many sweeps. The chunks are too small for a sweep that is copied ahead."""
    monkeypatch.setattr(sweep, "MAX_SWEEP_BYTES", 1)
    Ringer(made.nonce).ring()
    begin = time.monotonic()
    for _ in range(SLOTS):
        prepared = worker._pipeline.collect()
        assert prepared is not None
        assert len(prepared.sweep.stops) == 1
        assert worker._forward(prepared, time.monotonic() - LONG_MAX_REST / REST_FACTOR) is None
    assert worker._pipeline.collect() is None
    assert time.monotonic() - begin < (SLOTS - 1) * LONG_MAX_REST, "no rest"


@pytest.mark.parametrize(
    ("free", "has_timers", "follows"),
    [
        pytest.param(SLOTS - 1, False, False, id="the sweep frees enough slots"),
        pytest.param(1, False, True, id="the sweep leaves the ring half full"),
        pytest.param(SLOTS - 1, True, True, id="rows are waited for"),
    ],
)
def test_rows_for_small_chunks_gather_if_the_sweep_in_flight_frees_enough_slots(
    worker: Worker, made: Segment, monkeypatch: pytest.MonkeyPatch, free: int, has_timers: bool, follows: bool
) -> None:
    """Over thousands of entities, a sweep makes as many chunks of few rows as of many."""
    for slot in range(SLOTS + free, made.ring.geometry.slots):
        made.ring.states[slot] = SlotState.UNUSABLE
    monkeypatch.setattr(sweep, "MAX_SWEEP_BYTES", 1)
    worker._pipeline.has_timers = has_timers
    prepared = worker._pipeline.collect()
    assert prepared is not None
    assert prepared.may_gather
    assert worker._pipeline.sweeper.freer.is_half_full()
    ahead = worker._pipeline.forward(prepared, looks_ahead=True)
    assert (ahead is not None) is follows
