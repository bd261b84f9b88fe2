"""What the worker clears up after producers. tests/producer/test_registration.py has a producer that dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.collector.reporting.dead_producers import DeadProducers
from rerun_mp.encoding.frames import large_file_prefix
from rerun_mp.shm.layout import Geometry, Kind, Line, ProducerState, ProducerWord, SlotState, pack_owner
from rerun_mp.shm.segment import Segment
from tests.harness.segments import new_segment

PRODUCERS = 4


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Segment]:
    """Make a segment without a collector."""
    for name in ("runtime", "spool"):
        (tmp_path / name).mkdir(mode=0o700)
    with new_segment(tmp_path, Geometry(4096, 8, PRODUCERS)) as own:
        yield own


@pytest.fixture
def dead_producers(made: Segment) -> Iterator[DeadProducers]:
    """Make the part of a worker that is tested here."""
    descriptor = made.open()
    yield DeadProducers(made, descriptor, Sweeper(made))
    os.close(descriptor)


def forge(made: Segment, slot: int, owner: int, state: int) -> None:
    """Write a control line as no producer does."""
    made.ring.words[made.ring.geometry.line_word(slot) + Line.KIND] = Kind.TABLE
    made.ring.states[slot] = owner | state


@pytest.mark.parametrize("index", [2, PRODUCERS, 1000])
def test_a_forged_slot_whose_owner_has_no_entry_comes_back(
    index: int, made: Segment, dead_producers: DeadProducers
) -> None:
    """It is sealed, and freed like any other slot: the ring cannot lose its slots one by one."""
    forge(made, 5, pack_owner(index, 7), SlotState.OPEN)
    assert dead_producers.clear_up() == 0
    assert made.ring.states[5] & 0xFF == SlotState.SEALED
    Sweeper(made).freer.free_done()
    assert made.ring.states[5] & 0xFF == SlotState.FREE


def test_a_slot_in_an_impossible_state_comes_back(made: Segment, dead_producers: DeadProducers) -> None:
    forge(made, 5, pack_owner(2, 7), 0x77)
    dead_producers.clear_up()
    assert made.ring.states[5] & 0xFF == SlotState.FREE


def test_an_entry_without_a_lease_and_without_slots_is_freed(made: Segment, dead_producers: DeadProducers) -> None:
    """The spool files of its owner go with it, and those of others stay."""
    entry = made.ring.geometry.producer_word(1)
    made.ring.words[entry + ProducerWord.STATE] = 6 << 8 | ProducerState.LIVE
    mine, other = (
        Path(made.spool_directory) / name for name in (f"{large_file_prefix(1, 6)}0", f"{large_file_prefix(1, 5)}0")
    )
    for path in (mine, other):
        path.write_bytes(b"rows")
    assert dead_producers.count_entries() == 1
    assert dead_producers.clear_up() == 0
    assert dead_producers.count_entries() == 0
    assert made.ring.words[entry + ProducerWord.STATE] == 6 << 8 | ProducerState.FREE
    assert (mine.exists(), other.exists()) == (False, True)
