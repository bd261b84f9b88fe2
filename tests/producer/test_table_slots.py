"""The tables that a producer keeps open, one for each shape."""

from __future__ import annotations

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.producer.open_table import TableRow
from rerun_mp.producer.table_slots import MAX_TABLES, Outcome
from rerun_mp.shm.layout import SlotState
from rerun_mp.shm.segment import Segment
from tests.producer.conftest import register


class Number:
    """Stands for an archetype with one number."""

    _value = 1.5


def row(recording: str = "rec", timelines: int = 0, entity: str = "a") -> TableRow:
    kinds = tuple((f"t{n}", "sequence") for n in range(timelines))
    shape = TableShape(RecordingKey("app", recording), ValueKind.SCALARS, (), True, kinds)
    return TableRow(shape, entity, f"/{entity}".encode(), Number(), {f"t{n}": n for n in range(timelines)})


def state(made: Segment, slot: int) -> int:
    return made.ring.states[slot] & 0xFF


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
    assert producer.append_row(row(entity="a")) is Outcome.COMMITTED
    first = producer.table_of(row().shape)
    assert first is not None
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
    assert producer.append_row(row()) is Outcome.COMMITTED
    table = producer.table_of(row().shape)
    assert table is not None
    producer.invalidate()
    assert not table.append("a", Number(), {})
    producer.close()
