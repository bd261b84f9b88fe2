"""Entries of the producers table: when a producer may take one, and when it is free again."""

from __future__ import annotations

import multiprocessing
import os
from io import FileIO

import pytest

from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.collector.reporting.dead_producers import DeadProducers
from rerun_mp.producer.registration import Registration, _try_all
from rerun_mp.shm.layout import NAME_OFFSET, PRODUCER_BYTES, Header, Kind, SlotState
from rerun_mp.shm.segment import ClaimLocks, Segment
from rerun_mp.shm.writer import SlotWriter
from tests.shm.bench_ring import claim_one
from tests.shm.bytecode import assert_stores_are_guarded


def test_an_entry_is_not_taken_before_its_dead_owner_is_drained(made: Segment) -> None:
    """Hazard 3: otherwise the dead owner's slots would seem to belong to a living producer for ever."""
    child = os.fork()
    if child == 0:
        os._exit(_leave_a_row(made))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sweeper, probe = Sweeper(made), made.open()
    dead_producers = DeadProducers(made, probe, sweeper)

    # The owner is dead and its lock is free, but its row is not in the store.
    assert _take(made).index == 1
    dead_producers.clear_up()
    assert made.ring.states[0] & 0xFF == SlotState.SEALED
    assert _take(made).index == 2

    made.ring.take(0, 1, 1)
    made.ring.words[Header.SWEEP_DONE] = 1
    Sweeper(made).freer.free_done()
    dead_producers.clear_up()
    newcomer = _take(made)
    assert (newcomer.index, newcomer.generation) == (0, 2)
    os.close(probe)


def _take(made: Segment) -> Registration:
    """Take an entry that is free now."""
    return Registration.take(made, _must_not_wait, 1, memoryview(b"\1"), 0)


def test_a_forked_child_stores_nothing() -> None:
    """A fork in the middle of a registration leaves the entry, and its totals, to the parent."""
    assert_stores_are_guarded(_try_all)


def test_a_process_whose_name_utf8_cannot_express_still_registers(
    made: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing.current_process(), "name", "worker \ud800")
    geometry = made.ring.geometry
    begin = geometry.producers_offset + _take(made).index * PRODUCER_BYTES + NAME_OFFSET
    assert bytes(made.ring.memory[begin : begin + 9]) == b"worker ?\0"


def _must_not_wait(_attempt: int) -> None:
    raise AssertionError("there is a free entry")


def _leave_a_row(made: Segment) -> int:
    """Register, commit one row, and keep the slot open."""
    registration = _take(made)
    writer = SlotWriter(made.ring, registration.owner, memoryview(b"\x01"), 0)
    with FileIO(made.open(), "r+") as file:
        locks = ClaimLocks(made, file.fileno())
        slot = claim_one(writer, Kind.TABLE, 0, locks.lock, locks.reserve)
    if (registration.index, slot) != (0, 0):
        return 1
    writer.commit(0, 1)
    return 0
