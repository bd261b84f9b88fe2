"""The facade: nested calls, the wait for space, the collector's requests, and the end."""

from __future__ import annotations

import pytest

from rerun_mp.errors import SessionEndedError
from rerun_mp.producer.producer import Producer
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import Attention, Header, ProducerWord, SlotState
from rerun_mp.shm.leases import ForkGuard
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.writer import ForkedError
from tests.producer.conftest import make_rows, register


def states(made: Segment, producer: Producer) -> list[int]:
    return [made.ring.states[slot] & 0xFF for slot in made.ring.owner_slots(producer._writer.owner)]


def test_a_call_in_the_middle_of_another_uses_a_slot_of_its_own(made: Segment) -> None:
    """A signal handler or `__del__` may interrupt any call of its own thread."""
    producer = register(made)
    assert producer.append(make_rows(100))
    del producer._busy.free
    assert producer.append(make_rows(100))
    assert states(made, producer) == [SlotState.OPEN, SlotState.SEALED]
    producer.seal()
    assert states(made, producer) == [SlotState.OPEN, SlotState.SEALED], "the outer call seals, not the nested one"
    producer._busy.free = True
    producer.close()


def test_a_producer_seals_its_own_slots_before_it_waits_for_space(made: Segment) -> None:
    """The wait ends when the collector frees one of them."""
    waits: list[list[int]] = []

    def wait(attempt: int) -> None:
        waits.append(states(made, producer))
        assert attempt == len(waits) - 1
        made.ring.free(0)

    producer = Producer(made, ForkGuard(), Ringer(made.nonce), wait, lambda: None)
    while not waits:
        assert producer.append(make_rows(60_000))
    assert waits == [[SlotState.SEALED] * 8]
    assert made.ring.words[made.ring.geometry.producer_word(0) + ProducerWord.BLOCKED_NS] > 0
    producer.close()


def test_pressure_seals_after_the_commit(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(100))
    made.ring.words[Header.ATTENTION] = Attention.PRESSURE
    producer._attend()
    assert states(made, producer) == [SlotState.SEALED]
    producer.close()


def test_a_closed_producer_takes_no_rows_and_says_that_it_has_left(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(100))
    assert [count > 100 for _, _, count in producer.pending()] == [True]
    producer.close()
    assert states(made, producer) == [SlotState.SEALED]
    assert made.ring.words[made.ring.geometry.producer_word(producer.index) + ProducerWord.LEFT] == 1
    with pytest.raises(SessionEndedError):
        producer.append(make_rows(100))


def test_a_forked_child_stores_nothing_by_its_parents_producer(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(100))
    before = bytes(made.ring.memory)
    producer._writer.alive[producer._writer.armed] = 0  # as the kernel does in the child
    assert not producer.is_intact
    with pytest.raises(ForkedError):
        producer.append(make_rows(100))
    producer.close()
    assert bytes(made.ring.memory) == before
