"""The policy for rows without space, and the counters that tell of it."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from rerun_mp.errors import RingFullError, SessionEndedError
from rerun_mp.producer.full_ring import FullRing
from rerun_mp.settings import Policy
from rerun_mp.shm.layout import Header, ProducerWord
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import make_ring, make_writer
from tests.shm.steps import interrupt, raised_at_every_step

PRODUCER = 2


def full_ring(policy: Policy, block_timeout_ns: int = 0) -> tuple[FullRing, Ring, bytearray]:
    """Return the object under test, its ring, and the fork guard's byte."""
    ring = make_ring()
    ring.words[Header.POLICY] = policy
    ring.words[Header.BLOCK_TIMEOUT_NS] = block_timeout_ns
    writer, alive = make_writer(ring, producer=PRODUCER)
    return FullRing(writer, threading.RLock()), ring, alive


def counter(ring: Ring, word: int) -> int:
    return ring.words[ring.geometry.producer_word(PRODUCER) + word]


def test_block_waits_for_as_long_as_the_session_allows() -> None:
    full, ring, _ = full_ring(Policy.BLOCK, block_timeout_ns=1000)
    assert full.may_wait(999, 3)
    with pytest.raises(RingFullError, match="the ring of 8 slots is full"):
        full.may_wait(1000, 3)
    assert counter(ring, ProducerWord.REFUSED) == 3
    unbounded, _, _ = full_ring(Policy.BLOCK)
    assert unbounded.may_wait(1 << 60, 1)


def test_drop_drops_and_counts() -> None:
    full, ring, _ = full_ring(Policy.DROP)
    assert not full.may_wait(0, 3)
    full.refuse("no file can be written", "no file", OSError(), 4)
    assert full.dropped == counter(ring, ProducerWord.DROPPED) == 3, "the append loop counts the 4, by `may_wait`"
    assert counter(ring, ProducerWord.REFUSED) == 0


def test_raise_raises_at_once() -> None:
    full, ring, _ = full_ring(Policy.RAISE)
    with pytest.raises(RingFullError):
        full.may_wait(0, 3)
    cause = OSError("disk full")
    with pytest.raises(RingFullError, match="no file") as caught:
        full.refuse("no file can be written", "the disk was full", cause, 4)
    assert caught.value.__cause__ is cause
    assert (caught.value.cause, caught.value.is_counted) == ("the disk was full", True)
    assert counter(ring, ProducerWord.REFUSED) == 7


def test_a_closed_producer_ends_the_wait_and_counts_no_more() -> None:
    """Its entry in the producers table may belong to another process by then."""
    full, ring, _ = full_ring(Policy.DROP)
    full.is_closed = True
    with pytest.raises(SessionEndedError, match="has left its session"):
        full.may_wait(0, 3)
    full.count(ProducerWord.BLOCKED_NS, 5)
    assert counter(ring, ProducerWord.BLOCKED_NS) == 0


def test_a_forked_child_does_not_count_in_its_parents_entry() -> None:
    full, ring, alive = full_ring(Policy.DROP)
    alive[0] = 0
    full.count(ProducerWord.DROPPED, 5)
    assert counter(ring, ProducerWord.DROPPED) == 0


def test_a_count_in_the_middle_of_another_one_is_not_lost() -> None:
    """A trace function can log a row between any two instructions, and the policy may drop it, too."""
    got_so_far, step = True, 0
    while got_so_far:
        full, ring, _ = full_ring(Policy.DROP)
        got_so_far = interrupt(partial(full.may_wait, 0, 1), FullRing, step, partial(full.may_wait, 0, 10))
        assert full.dropped == counter(ring, ProducerWord.DROPPED) == (11 if got_so_far else 1), f"step {step}"
        step += 1
    assert step > 50


def test_a_count_that_an_exception_has_ended_does_not_stop_later_ones() -> None:
    def count_and_go_on() -> None:
        full, _, _ = full_ring(Policy.DROP)
        try:
            full.count(ProducerWord.DROPPED, 1)
        finally:
            before = full.dropped
            full.count(ProducerWord.DROPPED, 10)
            assert full.dropped in (before + 10, before + 11)

    assert raised_at_every_step(count_and_go_on, FullRing._add_pending, KeyError) > 20
