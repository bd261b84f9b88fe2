"""The producer's side on a bytearray: claim, write, commit, seal, abandon; and what may run in between."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rerun_mp.shm.layout import Geometry, Kind, Line, SlotState, pack_owner, unpack_owner
from rerun_mp.shm.writer import ForkedError, SlotWriter, positions
from tests.shm.bench_ring import GEOMETRY, always, claim_one, make_ring, make_writer, watch
from tests.shm.bytecode import assert_stores_are_guarded
from tests.shm.steps import interrupt, raised_at_every_step


def test_a_claim_takes_used_slots_before_new_ones() -> None:
    """The ring takes only as much memory as the load needs: a claim prefers freed slots."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    first, second = (claim_one(writer, Kind.FRAMES, 5, always, always) for _ in range(2))
    assert (first, second) == (0, 1)
    ring.free(1)
    assert claim_one(writer, Kind.FRAMES, 5, always, always) == 1
    assert claim_one(writer, Kind.FRAMES, 5, always, always) == 2


def test_a_claim_names_its_owner_and_kind() -> None:
    """The control line tells the slot's owner and kind."""
    ring = make_ring()
    writer, _ = make_writer(ring, producer=3, generation=9)
    slot = claim_one(writer, Kind.HEAD, 0, always, always)
    assert slot is not None
    assert unpack_owner(ring.states[slot]) == (3, 9)
    assert ring.states[slot] & 0xFF == SlotState.OPEN
    assert ring.words[ring.geometry.line_word(slot) + Line.KIND] == Kind.HEAD
    assert ring.owner_slots(writer.owner) == [slot]
    made = watch(ring, writer)
    assert claim_one(writer, Kind.HEAD, 0, always, always) == slot + 1
    line = ring.geometry.line_word(slot + 1)
    assert made == [line + Line.KIND, line + Line.STATE], "an owned slot of an unknown kind would count as damage"


def test_a_claim_tries_sixteen_slots_more_than_it_wants() -> None:
    """So a claim among many claimers takes a bounded time, and still finds free slots."""
    for first, found in ((16, [16, 17, 18]), (17, [17, 18]), (19, [])):
        writer, _ = make_writer(make_ring(Geometry(4096, 64, 4)))
        assert writer.claim([Kind.PART] * 3, 0, range(first, 64).__contains__, always) == found


def test_positions_go_round_from_the_start() -> None:
    states = [1, 0, 1, 1, 0, 1]
    assert list(positions(states, 1, 3, 9)) == [3, 5, 0, 2]
    assert [list(positions(states, 1, 3, most)) for most in range(4)] == [[], [3], [3, 5], [3, 5, 0]]
    assert list(positions(states, 0, 0, 9)) == [1, 4]


def test_a_locked_slot_is_passed_over() -> None:
    """A claim leaves a slot to the process that holds its lock."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    assert claim_one(writer, Kind.FRAMES, 0, lambda slot: slot not in (0, 1), always) == 2


def test_a_slot_taken_since_the_snapshot_is_passed_over() -> None:
    """A claimer that gets the lock after another one has stored OPEN must not take the slot, too."""
    ring = make_ring()
    one, _ = make_writer(ring, producer=0)
    other, _ = make_writer(ring, producer=1)
    taken: list[int | None] = []

    def lock(slot: int) -> bool:
        if not taken:
            taken.append(slot)
            taken.append(claim_one(other, Kind.FRAMES, 0, always, always))
        return True

    assert claim_one(one, Kind.FRAMES, 0, lock, always) == 1
    assert taken == [0, 0]


def test_several_slots_are_claimed_at_once_or_as_many_as_there_are() -> None:
    """One claim serves a message larger than a slot; if there are too few slots, the caller gets those."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    tried: list[int] = []
    slots = writer.claim((Kind.HEAD, Kind.PART, Kind.PART), 0, lambda slot: slot != 1, always, tried)
    assert slots == tried == [0, 2, 3]
    kinds = [ring.words[ring.geometry.line_word(slot) + Line.KIND] for slot in slots]
    assert kinds == [Kind.HEAD, Kind.PART, Kind.PART]
    assert writer.claim([Kind.PART] * 9, 0, always, always) == [1, 4, 5, 6, 7]


def test_claim_returns_none_if_the_ring_is_full() -> None:
    """Running out is a result, not a surprise."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    assert [claim_one(writer, Kind.FRAMES, 0, always, always) for _ in range(8)] == list(range(8))
    assert claim_one(writer, Kind.FRAMES, 0, always, always) is None


def test_a_commit_is_the_last_store() -> None:
    """The bytes below the count are the ones written."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    slot = claim_one(writer, Kind.FRAMES, 0, always, always)
    assert slot is not None
    writer.write(slot, 0, (b"decl", b"head", memoryview(b"payload!")), 16)
    writer.write(slot, 16, (b"", b"HEAD", memoryview(b"more")), 24)
    offset = GEOMETRY.slot_offset(slot)
    assert ring.words[ring.count_word(slot)] == 24
    assert bytes(ring.memory[offset : offset + 24]) == b"declheadpayload!HEADmore"
    made = watch(ring, writer)
    writer.commit(slot, 32, 3)
    assert made == [ring.rows_word(slot), ring.count_word(slot)]


def test_pieces_are_scattered_over_slots_in_order() -> None:
    """A message larger than a slot continues in the next slot, whatever the sizes of its pieces."""
    ring = make_ring()
    writer, _ = make_writer(ring)
    pieces = (b"a" * 100, b"b" * 5000, b"", b"c" * 4000)
    writer.scatter([5, 1, 7], pieces)
    got = b"".join(bytes(ring.memory[GEOMETRY.slot_offset(s) : GEOMETRY.slot_offset(s) + 4096]) for s in (5, 1, 7))
    assert got[:9100] == b"".join(pieces)


def test_a_forked_child_stores_nothing() -> None:
    """Every method checks the fork guard before it stores into the segment."""
    ring = make_ring()
    writer, alive = make_writer(ring)
    slot = claim_one(writer, Kind.FRAMES, 0, always, always)
    assert slot is not None
    before = bytes(ring.memory)
    intact = [writer.is_intact]
    alive[0] = 0
    assert [*intact, writer.is_intact] == [True, False]
    with pytest.raises(ForkedError):
        claim_one(writer, Kind.FRAMES, 0, always, always)
    with pytest.raises(ForkedError):
        writer.write(slot, 0, (b"x", b"y", memoryview(b"z")), 8)
    with pytest.raises(ForkedError):
        writer.scatter([slot], (b"x",))
    with pytest.raises(ForkedError):
        writer.commit(slot, 8, 3)
    with pytest.raises(ForkedError):
        writer.fill(slot, 0, b"x")
    with pytest.raises(ForkedError):
        writer.join([slot])
    writer.seal(slot)
    writer.abandon([slot])
    assert bytes(ring.memory) == before


@pytest.mark.parametrize("method", ["claim", "fill", "scatter", "join", "commit", "seal", "abandon"])
def test_an_interrupted_call_stores_nothing_once_the_writer_is_invalid(method: str) -> None:
    """A fork in the middle of a call, by a signal handler or a trace function, invalidates the child's writer."""
    calls: dict[str, Callable[[SlotWriter, int], object]] = {
        "claim": lambda writer, _: claim_one(writer, Kind.FRAMES, 0, always, always),
        "fill": lambda writer, slot: writer.fill(slot, 0, b"x"),
        "scatter": lambda writer, slot: writer.scatter([slot], (b"x", b"yz")),
        "join": lambda writer, slot: writer.join([slot]),
        "commit": lambda writer, slot: writer.commit(slot, 8, 1),
        "seal": lambda writer, slot: writer.seal(slot),
        "abandon": lambda writer, slot: writer.abandon([slot]),
    }

    def is_interrupted(step: int) -> bool:
        ring = make_ring()
        writer, _ = make_writer(ring)
        slot = claim_one(writer, Kind.HEAD, 0, always, always)
        assert slot is not None
        images: list[bytes] = []

        def invalidate() -> None:
            writer.invalidate()
            images.append(bytes(ring.memory))

        try:
            was_interrupted = interrupt(lambda: calls[method](writer, slot), SlotWriter, step, invalidate)
        except ValueError:
            was_interrupted = True
        if was_interrupted:
            assert bytes(ring.memory) == images[0], f"a store after step {step}"
        return was_interrupted

    steps = 0
    while is_interrupted(steps):
        steps += 1
    assert steps > 5


def test_abandoning_touches_only_what_was_claimed() -> None:
    """Slots that a claim tried but did not get stay as they are."""
    ring = make_ring()
    writer, _ = make_writer(ring, producer=0)
    other, _ = make_writer(ring, producer=1)
    theirs = claim_one(other, Kind.FRAMES, 0, always, always)
    tried: list[int] = []
    mine = claim_one(writer, Kind.PART, 0, always, always, tried)
    assert tried == [mine]
    writer.abandon([0, 1, 2])
    assert theirs == 0
    assert ring.states[0] == other.owner | SlotState.OPEN
    assert ring.states[1] == writer.owner | SlotState.ABANDONED
    assert ring.states[2] == SlotState.UNTOUCHED


@pytest.mark.parametrize("method", ["claim", "fill", "scatter", "join", "commit", "seal", "abandon"])
def test_nothing_can_run_between_guard_and_store(method: str) -> None:
    """From each check of the fork guard to the stores after it there is no call and no backward jump.

    Signal handlers and thread switches, and with them forks, happen only at calls and backward jumps; raising the
    ForkedError is a call, but on the other branch.
    """
    assert_stores_are_guarded(getattr(SlotWriter, method))


def test_an_exception_of_the_program_in_the_search_for_slots_reaches_the_program() -> None:
    """`index` raises one of the same class when it finds no further slot."""
    assert list(positions([0, 1, 0], 0, 0, 9)) == [0, 2]
    assert raised_at_every_step(lambda: list(positions([0, 1, 0], 0, 0, 9)), positions, ValueError) > 30


@pytest.mark.parametrize("fences", [True, False])
def test_a_process_that_orders_its_stores_itself_fences_before_each_word_of_the_control_line(
    fences: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the rows and their count, and between the count and the state: else a sweep loses or tears a row."""
    ring, fence = make_ring(), -1
    writer = SlotWriter(ring, pack_owner(0, 1), memoryview(b"\x01"), 0, fences=fences)
    slot = claim_one(writer, Kind.FRAMES, 0, always, always)
    assert slot is not None
    made = watch(ring, writer)
    monkeypatch.setattr("rerun_mp.shm.writer.fence", lambda: made.append(fence))
    writer.commit(slot, 8, 3)
    writer.seal(slot)
    rows, count, state = ring.rows_word(slot), ring.count_word(slot), ring.geometry.line_word(slot) + Line.STATE
    assert made == ([rows, fence, count, fence, state] if fences else [rows, count, state])


def test_a_process_that_is_forked_while_it_fences_stores_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fence is a call, so a handler may fork there: the child checks the fork guard once more before the count."""
    ring, alive = make_ring(), memoryview(bytearray(b"\x01"))
    writer = SlotWriter(ring, pack_owner(0, 1), alive, 0, fences=True)
    slot = claim_one(writer, Kind.FRAMES, 0, always, always)
    assert slot is not None
    monkeypatch.setattr("rerun_mp.shm.writer.fence", lambda: alive.__setitem__(0, 0))
    with pytest.raises(ForkedError):
        writer.commit(slot, 8, 3)
    assert ring.words[ring.count_word(slot)] == 0
