"""The ring's collector side and its words, on a bytearray."""

from __future__ import annotations

import pytest

from rerun_mp.shm.layout import Geometry, Header, Kind, Line, ProducerWord, SlotState, pack_owner, unpack_owner
from tests.shm.bench_ring import GEOMETRY, always, claim_one, make_ring, make_writer


def test_tables_and_slots_do_not_overlap() -> None:
    """Every word of the tables and every byte of the slots has a place of its own."""
    assert GEOMETRY.producers_offset == 4096
    assert GEOMETRY.control_offset == 4096 + GEOMETRY.producers * 192
    assert GEOMETRY.slots_offset >= GEOMETRY.control_offset + GEOMETRY.slots * 64
    assert GEOMETRY.slots_offset % 4096 == 0
    assert GEOMETRY.slot_offset(GEOMETRY.slots) == GEOMETRY.total_bytes
    assert GEOMETRY.line_word(1) - GEOMETRY.line_word(0) == 8
    assert GEOMETRY.producer_word(1) - GEOMETRY.producer_word(0) == 24


@pytest.mark.parametrize(
    "geometry", [Geometry(100, 8, 4), Geometry(4096, 1, 4), Geometry(4096, 8, 0), Geometry(1 << 29, 8, 4)]
)
def test_impossible_forms_are_named(geometry: Geometry) -> None:
    """Numbers that cannot be a ring are refused in words."""
    assert geometry.check() is not None
    assert GEOMETRY.check() is None


def test_owner_survives_packing() -> None:
    """Producer and generation come back from a state word, whatever the state."""
    for producer, generation in ((0, 1), (65_535, (1 << 40) - 1), (17, 3)):
        assert unpack_owner(pack_owner(producer, generation) | SlotState.SEALED) == (producer, generation)


def test_a_sweep_counts_only_when_the_header_says_so() -> None:
    """`taken` words above the header's sweep are in flight; the older word is the one that is overwritten."""
    ring = make_ring()
    ring.take(3, 1, 100)
    assert (ring.done(3), ring.in_flight(3)) == (0, 100)
    ring.words[Header.SWEEP_DONE] = 1
    assert (ring.done(3), ring.in_flight(3)) == (100, None)
    ring.take(3, 2, 250)
    assert (ring.done(3), ring.in_flight(3)) == (100, 250)
    ring.take(3, 2, 250)
    assert ring.done(3) == 100, "repeating the sweep in flight must not lose what is done"
    ring.words[Header.SWEEP_DONE] = 2
    assert (ring.done(3), ring.in_flight(3)) == (250, None)


class Stores:
    """Words that note each store, in order."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self.made: list[int] = []

    def __getitem__(self, index: int) -> int:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        self.made.append(index)
        self._words[index] = value


def test_a_take_is_one_store() -> None:
    """Hazard 4: the sweep and how far it takes the slot are one word, so that no crash comes in between."""
    ring = make_ring()
    stores = Stores(ring.words)
    ring.words = stores  # type: ignore[assignment]
    line = ring.geometry.line_word(3)
    for sweep, taken in ((1, 100), (2, 250), (2, 250), (3, 300)):
        ring.words[Header.SWEEP_DONE] = sweep - 1
        stores.made.clear()
        ring.take(3, sweep, taken)
        assert len(stores.made) == 1, "a crash between two stores would split the sweep"
        assert stores.made[0] in (line + Line.TAKEN_A, line + Line.TAKEN_B)
        assert ring.in_flight(3) == taken
        ring.words[Header.SWEEP_DONE] = sweep
        assert ring.done(3) == taken


def test_totals_follow_the_same_rule() -> None:
    """A total that a dead collector had added in the sweep in flight is not added twice."""
    ring = make_ring()
    ring.add_total(2, 1, 10)
    assert ring.total(2) == 0
    ring.add_total(2, 1, 10)
    ring.words[Header.SWEEP_DONE] = 1
    assert ring.total(2) == 10
    ring.add_total(2, 2, 5)
    ring.words[Header.SWEEP_DONE] = 2
    assert ring.total(2) == 15
    # Damaged rows have two words of their own.
    ring.add_total(2, 3, 7, ProducerWord.DAMAGE_A)
    ring.words[Header.SWEEP_DONE] = 3
    assert (ring.total(2), ring.total(2, ProducerWord.DAMAGE_A)) == (15, 7)
    # Long silence, until the numbers of the sweeps come round.
    ring.words[Header.SWEEP_DONE] = (1 << 15) + 1
    assert ring.total(2) == 15


def test_freeing_clears_the_line_and_counts_the_epoch() -> None:
    """A freed slot shows nothing of its former life but the number of its lives."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    slot = claim_one(writer, Kind.FRAMES, 0, always, always)
    assert slot == 0
    writer.commit(slot, 64)
    writer.seal(slot)
    ring.take(slot, 1, 64)
    ring.words[Header.SWEEP_DONE] = 1
    ring.free(slot)
    line = ring.geometry.line_word(slot)
    assert ring.states[slot] == SlotState.FREE
    assert [ring.words[line + word] for word in (Line.COUNT, Line.EPOCH, Line.TAKEN_A, Line.TAKEN_B)] == [0, 1, 0, 0]


def test_room_to_keep_needs_a_quarter_free() -> None:
    """Producers keep slots open between calls only while a quarter of the usable slots is free."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    kept = []
    while claim_one(writer, Kind.FRAMES, 0, always, always) is not None:
        kept.append(ring.has_room_to_keep())
    assert kept == [True] * 6 + [False] * 2
    ring.states[7] = ring.states[6] = SlotState.UNUSABLE
    ring.free(5)
    assert not ring.has_room_to_keep()
    ring.free(4)
    assert ring.has_room_to_keep(), "2 of 6 usable slots are free"


def test_slots_without_memory_are_offered_again() -> None:
    """A slot for which there was no memory is not tried again until the collector says so."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    assert claim_one(writer, Kind.FRAMES, 0, always, lambda slot: slot >= 2) == 2
    assert ring.states.tolist()[:2] == [SlotState.UNUSABLE] * 2
    ring.offer_again()
    assert claim_one(writer, Kind.FRAMES, 0, always, always) == 0
