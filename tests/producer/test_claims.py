"""A producer claims slots, keeps spares, and gives back slots that an exception left open."""

from __future__ import annotations

import threading

from rerun_mp.producer.claims import Claims
from rerun_mp.producer.full_ring import FullRing
from rerun_mp.shm.layout import Header, Kind, Line, SlotState, pack_owner
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.writer import SlotWriter


def make_claims(made: Segment, checks: list[int], open_slots: set[int]) -> tuple[Claims, SlotWriter]:
    writer = SlotWriter(made.ring, pack_owner(0, 1), memoryview(bytearray(b"\1")), 0)
    full_ring = FullRing(writer, threading.RLock())
    return Claims(made, writer, full_ring, lambda: checks.append(1), lambda: open_slots), writer


def states(made: Segment) -> list[int]:
    """Return the `SlotState` of each slot."""
    return [word & 0xFF for word in made.ring.states.tolist()]


def test_each_claim_checks_the_collector_first(made: Segment) -> None:
    checks: list[int] = []
    claims, _ = make_claims(made, checks, set())
    assert claims.claim(Kind.TABLE, 1, maps_ahead=True) == 0
    assert claims.claim_all((Kind.FRAMES, Kind.FRAMES), 1, maps_ahead=False) == [1, 2]
    assert claims.claim_chain(9, 1) == [3, 4, 5, 6, 7], "as many as there are"
    assert claims.claim(Kind.TABLE, 1, maps_ahead=True) is None
    assert len(checks) == 4


def test_producers_begin_to_look_at_different_slots(made: Segment) -> None:
    writer = SlotWriter(made.ring, pack_owner(1, 1), memoryview(bytearray(b"\1")), 0)
    claims = Claims(made, writer, FullRing(writer, threading.RLock()), lambda: None, lambda: ())
    for slot in range(8):
        made.ring.states[slot] = SlotState.FREE
    assert claims.claim(Kind.FRAMES, 1, maps_ahead=False) == 61 % 8


def test_spares_are_claimed_ahead_and_given_back(wide: Segment) -> None:
    """Four at once, a sixteenth of the ring; a message that needs two leaves two for the next one."""
    checks: list[int] = []
    claims, _ = make_claims(wide, checks, set())
    assert claims.take_spares(2, 1) == [0, 1]
    assert states(wide)[:5] == [SlotState.OPEN] * 4 + [SlotState.UNTOUCHED]
    assert claims.take_spares(1, 1) == [2]
    assert len(checks) == 1, "the second message needs no claim"
    claims.abandon_spares()
    assert states(wide)[:4] == [SlotState.OPEN] * 3 + [SlotState.ABANDONED]


def test_no_spares_are_kept_in_a_ring_that_is_short_of_slots(wide: Segment) -> None:
    claims, _ = make_claims(wide, [], set())
    assert claims.claim_chain(46, 1) == list(range(46))
    assert claims.take_spares(1, 1) == [46]
    assert states(wide)[46:50] == [SlotState.OPEN] + [SlotState.ABANDONED] * 3


def test_repair_gives_back_slots_that_the_producer_does_not_know(made: Segment) -> None:
    """Rows below a count go to the collector; known slots, and parts of a chain with a head, stay."""
    open_slots: set[int] = set()
    claims, writer = make_claims(made, [], open_slots)
    known, committed, empty = (claims.claim(Kind.FRAMES, 1, maps_ahead=False) for _ in range(3))
    assert (known, committed, empty) == (0, 1, 2)
    open_slots.add(0)
    writer.commit(1, 8, 1)
    claims.repair()
    assert states(made)[:3] == [SlotState.OPEN] * 3, "no exception has been noted"
    claims.needs_repair = True
    claims.repair()
    assert states(made)[:3] == [SlotState.OPEN, SlotState.SEALED, SlotState.ABANDONED]
    assert not claims.needs_repair


def test_repair_leaves_the_parts_of_a_chain_to_the_collector(wide: Segment) -> None:
    from rerun_mp.encoding.chains import pack_chain

    claims, writer = make_claims(wide, [], set())
    head, part = claims.claim_chain(2, 1)
    writer.join([part])
    epoch = wide.ring.words[wide.ring.geometry.line_word(part) + Line.EPOCH]
    writer.scatter([head, part], (pack_chain([(part, epoch)], 5000), bytes(5000)))
    writer.commit(head, 1, 1)
    assert wide.ring.words[Header.USABLE_SLOTS] == 64
    claims.needs_repair = True
    claims.repair()
    assert states(wide)[:2] == [SlotState.SEALED, SlotState.OPEN], "the collector frees the part with its head"
