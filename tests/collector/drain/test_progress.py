"""The memory of a running collector: the sweep that is done, and damaged slots."""

from __future__ import annotations

import pytest

from rerun_mp.collector.drain.progress import MAX_CHANGED_LINES, Progress
from rerun_mp.shm.layout import MAX_SWEEPS, Header, Line
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import SLOTS, log


@pytest.mark.parametrize("sweep", [1, 7])
def test_a_damaged_sweep_number_is_replaced_by_that_before_the_last_sweep_in_a_control_line(
    sweep: int, made: Segment
) -> None:
    """So the last sweep is repeated: rows may come twice, but none is lost."""
    made.ring.take(3, sweep, 100)
    made.ring.words[Header.SWEEP_DONE] = MAX_SWEEPS
    progress = Progress(made.ring)
    assert progress.done == sweep - 1
    assert progress.in_flight() == [3]


def test_slots_come_in_the_rings_order_from_the_first_one_on(made: Segment) -> None:
    for _ in range(3):
        log(made, 1)
    progress = Progress(made.ring)
    slots = progress.moved({}, 0)
    assert len(slots) == 3
    assert progress.moved({}, slots[1]) == [slots[1], slots[2], slots[0]]
    count = made.ring.words[made.ring.count_word(slots[0])]
    assert progress.moved({slots[0]: count}, 0) == slots[1:]
    assert progress.moved({slots[0]: count - 1}, 0) == slots


def take_all(made: Segment, slot: int, sweep: int) -> None:
    """Note that a sweep has taken all rows of a slot."""
    made.ring.take(slot, sweep, made.ring.words[made.ring.count_word(slot)])


@pytest.mark.parametrize("rows", [(1,), (1, 1, 1), (500, 500)])
def test_rows_that_come_after_a_look_that_found_none_are_found(rows: tuple[int, ...], made: Segment) -> None:
    """A worker that slept compares the control table with the one that had no new rows. 500 rows change three lines."""
    assert MAX_CHANGED_LINES < 6
    log(made, 1)
    progress = Progress(made.ring)
    (old,) = progress.moved({}, 0)
    take_all(made, old, 1)
    progress.done = 1
    assert progress.moved({}, 0) == progress.moved({}, 0) == []
    for number in rows:
        log(made, number)
    found = progress.moved({}, 0)
    assert found == progress.moved({}, 0) == Progress(made.ring).moved({}, 0)[-len(rows) :]
    assert len(found) == len(rows)
    assert progress.moved({}, found[-1]) == [found[-1], *found[:-1]]
    progress.done = 0
    assert progress.moved({}, 0) == [old, *found], "the sweep that took the first row is not done"
    progress.done = 1
    for slot in found:
        take_all(made, slot, 2)
    assert progress.moved({}, 0) == found, "the sweep in flight has the rows, and is not done"
    progress.done = 2
    assert progress.moved({}, 0) == []


def test_a_sealed_damaged_slot_is_read_once_more_and_forgotten_with_its_epoch(made: Segment) -> None:
    log(made, 1)
    progress = Progress(made.ring)
    (slot,) = progress.moved({}, 0)
    epoch = made.ring.words[made.ring.geometry.line_word(slot) + Line.EPOCH]
    progress.mark_damaged(slot, epoch)
    assert made.ring.words[Header.DAMAGED_SLOTS] == 1
    assert progress.is_damaged(slot, epoch)
    assert progress.moved({}, 0) == [slot], "its rest is to be given up"
    progress.give_up(slot, epoch, progress.done + 1)
    assert progress.moved({}, 0) == []
    assert not progress.is_given_up(slot, epoch), "the sweep is not done"
    progress.done += 1
    assert progress.is_given_up(slot, epoch)
    assert not progress.is_given_up(slot, epoch + 1)
    progress.forget(slot)
    assert not progress.is_damaged(slot, epoch)
    assert not progress.is_given_up(slot, epoch)


def test_no_sweep_is_in_flight_in_a_new_ring(made: Segment) -> None:
    progress = Progress(made.ring)
    assert (progress.done, progress.in_flight(), len(progress.control)) == (0, [], SLOTS)
