"""The ring's collector side and its words, on a bytearray."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.shm.layout import (
    LINE_WORDS,
    MAGIC,
    MAX_WORD,
    VERSION,
    Header,
    Kind,
    Line,
    ProducerWord,
    SlotState,
)
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import GEOMETRY, always, claim_one, make_ring, make_writer, watch


def test_a_header_says_everything_and_its_magic_last() -> None:
    """A process that finds the magic can rely on the other words."""
    ring = Ring(memoryview(bytearray(GEOMETRY.total_bytes)), GEOMETRY)
    made = watch(ring)
    ring.format(
        bytes(range(1, 17)),
        policy=2,
        block_timeout_ns=3,
        flush_tick_ns=4,
        created_ns=5,
        spool_bytes=6,
        ordering=7,
        founder=8,
    )
    assert made[-1] == Header.MAGIC
    assert {word: number for word, number in enumerate(ring.words.tolist()) if number} == {
        Header.MAGIC: MAGIC,
        Header.VERSION: VERSION,
        Header.TOTAL_BYTES: GEOMETRY.total_bytes,
        Header.SLOT_BYTES: 4096,
        Header.SLOTS: 8,
        Header.PRODUCERS: 4,
        Header.NONCE_LOW: 0x08_07_06_05_04_03_02_01,
        Header.NONCE_HIGH: 0x10_0F_0E_0D_0C_0B_0A_09,
        Header.POLICY: 2,
        Header.BLOCK_TIMEOUT_NS: 3,
        Header.FLUSH_TICK_NS: 4,
        Header.CREATED_NS: 5,
        Header.SPOOL_BYTES: 6,
        Header.ORDERING: 7,
        Header.FOUNDER: 8,
        Header.ROOT: 0x08_07_06_05_04_03_02_01,
        Header.FREE_SLOTS: 8,
        Header.USABLE_SLOTS: 8,
    }


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
    ring.take(3, 3, 300)
    ring.take(3, 3, 300)
    assert (ring.done(3), ring.in_flight(3)) == (250, 300), "whichever of the two words holds it"
    assert (ring.done(3, 3), ring.done(3, 1), ring.done(3, 0)) == (300, 0, 0), "by the caller's number"


def test_take_makes_one_store() -> None:
    """Hazard 4: one word holds the sweep and how far it takes the slot, so no crash can come in between."""
    ring = make_ring()
    made = watch(ring)
    line = ring.geometry.line_word(3)
    for sweep, taken in ((1, 100), (2, 250), (2, 250), (3, 300)):
        ring.words[Header.SWEEP_DONE] = sweep - 1
        made.clear()
        ring.take(3, sweep, taken)
        assert len(made) == 1, "a crash between two stores would split the sweep"
        assert made[0] in (line + Line.TAKEN_A, line + Line.TAKEN_B)
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
    ring.add_total(2, 3, 7, ProducerWord.DAMAGE)
    ring.words[Header.SWEEP_DONE] = 3
    assert (ring.total(2), ring.total(2, ProducerWord.DAMAGE)) == (15, 7)


@pytest.mark.parametrize("gap", [1, 1 << 15, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1 << 32])
def test_totals_are_right_after_any_gap_between_sweeps(gap: int) -> None:
    ring = make_ring()
    for sweep, rows, total in ((1, 15, 15), (1 + gap, 10, 25), (1 + 2 * gap, 1, 26)):
        ring.add_total(2, sweep, rows)
        ring.words[Header.SWEEP_DONE] = sweep
        assert ring.total(2) == total
    ring.words[Header.SWEEP_DONE] += gap
    assert ring.total(2) == 26


@pytest.mark.parametrize("stores", [0, 1])
def test_a_collector_that_dies_while_it_adds_a_total_adds_it_once(stores: int) -> None:
    """Wherever the collector died in a sweep's total, the repeated sweep adds it once."""
    ring = make_ring()
    total = 0
    for sweep in range(1, 6):
        entry = ring.geometry.producer_word(2) + ProducerWord.TOTAL
        before = ring.memory[8 * entry : 8 * (entry + ProducerWord.PAIRS)].tobytes()
        made = watch(ring)
        ring.add_total(2, sweep, 10)
        after = {index: ring.words[index] for index in made}
        ring.memory[8 * entry : 8 * (entry + ProducerWord.PAIRS)] = before
        for index in made[:stores]:
            ring.words[index] = after[index]
        assert ring.total(2) == total
        ring.add_total(2, sweep, 10)
        ring.words[Header.SWEEP_DONE] = sweep
        total += 10
        assert ring.total(2) == total


STEPS = st.tuples(st.integers(1, 1 << 40), st.integers(0, 3), st.integers(1, 3))
"""(sweeps ahead, rows that this sweep adds, number of times that it runs)."""


@given(st.lists(STEPS, max_size=50))
def test_totals_are_sums_however_often_a_sweep_is_repeated(steps: list[tuple[int, int, int]]) -> None:
    """Sweeps skip numbers, add nothing, die and run again; each row counts once."""
    ring = make_ring()
    total = number = 0
    for ahead, rows, times in steps:
        number += ahead
        ring.words[Header.SWEEP_DONE] = number - 1
        for _ in range(times):
            ring.add_total(1, number, rows, ProducerWord.DAMAGE)
            assert ring.total(1, ProducerWord.DAMAGE) == total
        total += rows
        assert ring.total(1, ProducerWord.DAMAGE, number) == total
        ring.words[Header.SWEEP_DONE] = number
        assert ring.total(1, ProducerWord.DAMAGE) == total
    assert ring.total(1) == ring.total(0, ProducerWord.DAMAGE) == ring.total(2) == 0, "other producers' totals stay"


def test_a_count_stays_at_its_greatest_value() -> None:
    """Damage may have set the word to any value; the collector must go on."""
    ring = make_ring()
    ring.count_up(Header.DAMAGED_SLOTS, 3)
    ring.count_up(Header.DAMAGED_SLOTS, 4)
    assert ring.words[Header.DAMAGED_SLOTS] == 7
    ring.words[Header.DAMAGED_SLOTS] = MAX_WORD - 1
    ring.count_up(Header.DAMAGED_SLOTS, 1)
    ring.count_up(Header.DAMAGED_SLOTS, 1)
    assert ring.words[Header.DAMAGED_SLOTS] == MAX_WORD


def test_freeing_clears_the_line_and_counts_the_epoch() -> None:
    """A freed slot keeps nothing of its former contents except the epoch; the state is stored last.

    No producer may claim the slot before its state is FREE. After that store the collector must not store anything, or
    it would overwrite the claimer's words. The count is cleared before `taken`: otherwise a collector that dies in
    between would store the rows again.
    """
    ring = make_ring()
    writer, _ = make_writer(ring)
    line = ring.geometry.line_word(0)
    for life in (1, 2, 3):
        slot = claim_one(writer, Kind.FRAMES, 0, always, always)
        assert slot == 0
        writer.commit(slot, 64, 5)
        writer.seal(slot)
        ring.take(slot, 1, 32)
        ring.take(slot, 2, 64)
        made = watch(ring)
        ring.free(slot)
        assert made[-1] == line + Line.STATE
        assert all(made.index(line + Line.COUNT) < made.index(line + word) for word in (Line.TAKEN_A, Line.TAKEN_B))
        ring = Ring(ring.memory, ring.geometry)
        writer, _ = make_writer(ring)
        assert ring.words[line : line + LINE_WORDS].tolist() == [SlotState.FREE, 0, life, 0, 0, Kind.FRAMES, 0, 0]
    ring.words[line + Line.EPOCH] = MAX_WORD
    ring.free(0)
    assert ring.words[line + Line.EPOCH] == 0, "only damage brings the epoch there"


def test_what_is_pending_is_named_with_its_epoch_and_count() -> None:
    """Of all producers, or of one."""
    ring = make_ring()
    one, _ = make_writer(ring, producer=1)
    other, _ = make_writer(ring, producer=2)
    for writer in (one, other, one, other):
        claim_one(writer, Kind.FRAMES, 0, always, always)
    ring.free(2)
    assert claim_one(one, Kind.FRAMES, 0, always, always) == 2
    for slot in (0, 1, 2):
        one.commit(slot, 10 + slot, 1)
    assert ring.pending() == [(0, 0, 10), (1, 0, 11), (2, 1, 12)]
    assert ring.pending(one.owner) == [(0, 0, 10), (2, 1, 12)]
    assert ring.pending(other.owner) == [(1, 0, 11)]
    assert (ring.owner_slots(one.owner), ring.owner_slots(other.owner)) == ([0, 2], [1, 3])
    assert ring.owner_slots(0) == [], "a free slot has no owner"


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
    """Producers pass over a slot without memory until the collector offers it again."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    assert claim_one(writer, Kind.FRAMES, 0, always, lambda slot: slot >= 2) == 2
    assert ring.states.tolist()[:2] == [SlotState.UNUSABLE] * 2
    ring.offer_again()
    assert claim_one(writer, Kind.FRAMES, 0, always, always) == 0
