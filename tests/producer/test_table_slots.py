"""The tables that a producer keeps open, one for each shape."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType

import pytest

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.producer.open_table import OpenTable, TableRow
from rerun_mp.producer.producer import Producer
from rerun_mp.producer.table_slots import MAX_TABLES, MIN_ROWS_FOR_OWN, Outcome, Owner, TableSlots, _ThreadEnd
from rerun_mp.shm.layout import SlotState
from rerun_mp.shm.segment import Segment
from tests.producer.conftest import register
from tests.shm.steps import interrupt, raised_at_every_step


class Number:
    """Stands for an archetype with one number."""

    _value = 1.5


def row(recording: str = "rec", timelines: int = 0, entity: str = "a") -> TableRow:
    kinds = tuple((f"t{n}", "sequence") for n in range(timelines))
    shape = TableShape(RecordingKey("app", recording), ValueKind.SCALARS, (), True, kinds)
    return TableRow(shape, entity, f"/{entity}".encode(), Number(), {f"t{n}": n for n in range(timelines)})


def state(made: Segment, slot: int) -> int:
    return made.ring.states[slot] & 0xFF


def first_table(producer: Producer) -> OpenTable:
    """Append a row of entity "a". Return its table."""
    assert producer.append_row(row()) is Outcome.COMMITTED
    table = producer.table_of(row().shape)
    assert table is not None
    return table


def test_rows_of_one_shape_share_a_table(made: Segment) -> None:
    producer = register(made)
    assert [producer.append_row(row(entity=entity)) for entity in "aba"] == [Outcome.COMMITTED] * 3
    table = producer.table_of(row().shape)
    assert table is not None
    assert made.ring.words[made.ring.count_word(table.slot)] == 3
    assert table.entities == {"a": 0, "b": 1}
    assert producer.table_of(row("another").shape) is None
    producer.close()
    assert state(made, table.slot) == SlotState.SEALED


def test_a_full_table_is_sealed_and_its_dictionary_goes_on(made: Segment) -> None:
    producer = register(made)
    first = first_table(producer)
    while first.append("a", Number(), {}):
        pass
    assert producer.append_row(row(entity="b")) is Outcome.COMMITTED
    second = producer.table_of(row().shape)
    assert second is not None
    assert second is not first
    assert (state(made, first.slot), state(made, second.slot)) == (SlotState.SEALED, SlotState.OPEN)
    assert second.entities == {"a": 0, "b": 1}
    producer.close()


def test_a_row_with_more_timelines_than_a_table_has_is_a_frame(made: Segment) -> None:
    producer = register(made)
    assert producer.append_row(row(timelines=2)) is Outcome.COMMITTED
    assert producer.append_row(row(timelines=3)) is Outcome.NOT_A_TABLE
    producer.close()


def test_without_room_to_keep_it_open_a_table_takes_one_row(made: Segment) -> None:
    producer = register(made)
    outcomes = [producer.append_row(row(f"{n}")) for n in range(7)]
    assert outcomes == [Outcome.COMMITTED] * 7
    kept = [producer.table_of(row(f"{n}").shape) for n in range(7)]
    assert [table is not None for table in kept] == [True] * 6 + [False], "three quarters of eight slots"
    assert [state(made, slot) for slot in range(8)].count(SlotState.SEALED) == 1
    producer.close()


def test_a_producer_keeps_a_bounded_number_of_tables(crowd: Segment) -> None:
    producer = register(crowd)
    shapes = [row(f"{n}") for n in range(MAX_TABLES + 1)]
    assert [producer.append_row(one) for one in shapes] == [Outcome.COMMITTED] * len(shapes)
    assert producer.table_of(shapes[0].shape) is None, "the oldest one is sealed"
    assert all(producer.table_of(one.shape) is not None for one in shapes[1:])
    producer.close()


def test_a_forked_child_cannot_append_to_its_parents_tables(made: Segment) -> None:
    producer = register(made)
    table = first_table(producer)
    producer.invalidate()
    with pytest.raises(ValueError, match="released"):
        table.append("a", Number(), {})


def rows_of_thread(producer: Producer, rows: int, *, stays: threading.Event | None = None) -> threading.Thread:
    """Start a thread that logs rows of one shape by the slow path, and goes on until `stays` is set."""
    is_done = threading.Event()

    def work() -> None:
        for _ in range(rows):
            assert producer.append_row(row()) is Outcome.COMMITTED
        is_done.set()
        if stays is not None:
            stays.wait()

    thread = threading.Thread(target=work)
    thread.start()
    assert is_done.wait(60)
    if stays is None:
        thread.join()
    return thread


@contextmanager
def thread_with_a_table(producer: Producer) -> Iterator[None]:
    """Append a row. During the block, another thread lives that has a table of its own with 3 rows."""
    stays = threading.Event()
    assert producer.append_row(row()) is Outcome.COMMITTED
    thread = rows_of_thread(producer, MIN_ROWS_FOR_OWN + 3, stays=stays)
    try:
        yield
    finally:
        stays.set()
        thread.join()


def open_tables(made: Segment) -> list[int]:
    """Return how many rows each open table has."""
    words, ring = made.ring.words, made.ring
    return [words[ring.count_word(slot)] for slot in range(8) if state(made, slot) == SlotState.OPEN]


def test_a_thread_of_few_rows_shares_a_table_under_the_mutex(made: Segment) -> None:
    """A program that starts a thread for each task does not take a slot for each."""
    producer = register(made)
    assert producer.append_row(row()) is Outcome.COMMITTED
    for _ in range(20):
        rows_of_thread(producer, 2)
    assert sorted(open_tables(made)) == [1, 40]
    producer.close()


def test_a_thread_of_many_rows_gets_a_table_of_its_own(made: Segment) -> None:
    producer = register(made)
    with thread_with_a_table(producer):
        assert sorted(open_tables(made)) == [1, 3, MIN_ROWS_FOR_OWN]
    producer.close()


def test_the_tables_of_a_thread_that_has_ended_are_used_further(made: Segment) -> None:
    """The first one becomes the shared one; a further one of the same shape is sealed."""
    producer = register(made)
    rows_of_thread(producer, 1)
    assert producer.append_row(row()) is Outcome.COMMITTED
    assert open_tables(made) == [2]
    rows_of_thread(producer, MIN_ROWS_FOR_OWN + 5)
    assert producer.append_row(row("another")) is Outcome.COMMITTED
    assert sorted(open_tables(made)) == [1, 2 + MIN_ROWS_FOR_OWN]
    producer.close()


def test_sealing_gives_the_tables_of_every_thread_to_the_collector(made: Segment) -> None:
    producer = register(made)
    with thread_with_a_table(producer):
        producer.seal()
        assert open_tables(made) == []
    producer.close()


def test_without_a_global_lock_only_the_owner_closes_a_table(made: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release on another thread could overlap a store. So `close` stops the others by the fork guard, and waits."""
    monkeypatch.setattr("rerun_mp.producer.table_slots.has_gil", lambda: False)
    monkeypatch.setattr("rerun_mp.producer.producer.has_gil", lambda: False)
    producer = register(made)
    with thread_with_a_table(producer):
        producer.seal()
        assert open_tables(made) == [3]
        producer.close()
        assert producer.is_closed
        assert not producer.is_intact


def test_a_row_that_interrupts_a_call_gets_a_table_of_its_own(made: Segment) -> None:
    """It needs no encoder: its import may be what the row has interrupted. A mark without a running append is stale."""
    producer = register(made)
    table = first_table(producer)
    assert isinstance(table.append, FunctionType)
    counts: list[int] = []

    def interrupt_by_a_row() -> None:
        assert producer.append_row(row()) is Outcome.COMMITTED
        for slot in made.ring.owner_slots(producer._writer.owner):
            if state(made, slot) == SlotState.SEALED:
                counts.append(made.ring.words[made.ring.count_word(slot)])
                made.ring.free(slot)

    step = 0
    while interrupt(lambda: table.append("a", Number(), {}), table.append, step, interrupt_by_a_row):
        step += 1
    del producer._busy.free
    interrupt_by_a_row()
    producer._busy.free = True
    assert len(counts) > 5
    assert set(counts) == {1}
    del table.mark.free
    before = made.ring.words[made.ring.count_word(table.slot)]
    assert producer.append_row(row()) is Outcome.COMMITTED
    assert made.ring.words[made.ring.count_word(table.slot)] == before + 1
    producer.close()


def test_a_close_that_an_exception_has_ended_is_done_again(made: Segment) -> None:
    producer = register(made)
    table = first_table(producer)
    table.close()
    assert producer.append_row(row()) is Outcome.COMMITTED
    assert state(made, table.slot) == SlotState.SEALED
    producer.close()


def test_an_exception_of_the_program_at_the_end_of_a_thread_reaches_the_program() -> None:
    """It is of the class that Python raises when an exception has ended `__init__` before."""
    end = _ThreadEnd(Owner(), deque())
    assert raised_at_every_step(end.__del__, _ThreadEnd.__del__, AttributeError) > 3


def test_a_thread_that_an_exception_has_kept_from_becoming_an_owner_ends_in_silence() -> None:
    """Pytest reports exceptions in `__del__`."""
    assert raised_at_every_step(lambda: _ThreadEnd(Owner(), deque()), _ThreadEnd.__init__, KeyError) > 3


def test_an_exception_of_the_program_while_a_thread_becomes_an_owner_reaches_the_program(made: Segment) -> None:
    """It is of the class that Python raises in a thread that is no owner yet."""
    producer = register(made)
    assert raised_at_every_step(lambda: producer.append_row(row()), TableSlots._calling_owner, AttributeError) > 3
    assert producer.append_row(row()) is Outcome.COMMITTED
    producer.close()
