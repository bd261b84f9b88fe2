"""One table slot: its dictionary, and how it ends. tests/producer/test_hot_appends.py tests the appends."""

from __future__ import annotations

import pytest

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape, unpack_texts
from rerun_mp.producer.open_table import OpenTable, TableRow, _greatest, plan_for
from rerun_mp.shm.layout import Geometry, Kind
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import always, claim_one, make_ring, make_writer

GEOMETRY = Geometry(slot_bytes=16384, slots=4, producers=4)
SHAPE = TableShape(RecordingKey("app", "rec"), ValueKind.SCALARS, (), True, ())


class Number:
    """Stands for an archetype with one number."""

    _value = 1.5


def open_table(ring: Ring, former: OpenTable | None = None) -> OpenTable:
    writer, _ = make_writer(ring)
    slot = claim_one(writer, Kind.TABLE, 0, always, always)
    assert slot is not None
    plan = plan_for(SHAPE, GEOMETRY.slot_bytes)
    assert plan is not None
    return OpenTable(writer, slot, SHAPE, plan, lambda: None, former)


def learn(table: OpenTable, name: str) -> bool:
    return table.learn(TableRow(SHAPE, name, b"/" + name.encode(), Number(), {}))


def dictionary(ring: Ring, table: OpenTable, texts: int) -> list[str]:
    """Return the first texts of the dictionary that lies in the table's slot."""
    begin = GEOMETRY.slot_offset(table.slot) + table._plan.dictionary
    end = GEOMETRY.slot_offset(table.slot) + GEOMETRY.slot_bytes
    return unpack_texts(memoryview(bytes(ring.memory[begin:end])), texts)[0]


def test_the_dictionary_is_taken_over_by_the_next_table() -> None:
    ring = make_ring(GEOMETRY)
    first = open_table(ring)
    assert [learn(first, name) for name in "aba"] == [True] * 3
    second = open_table(ring, first)
    assert learn(second, "c")
    assert dictionary(ring, first, 2) == ["/a", "/b"]
    assert dictionary(ring, second, 3) == ["/a", "/b", "/c"]


def test_learn_returns_false_if_the_dictionary_is_full() -> None:
    ring = make_ring(GEOMETRY)
    table = open_table(ring)
    names = [f"{number:0200}" for number in range(100)]
    learned = [learn(table, name) for name in names]
    assert True in learned
    assert False in learned
    assert dictionary(ring, table, learned.index(False))[0] == "/" + names[0]
    table.forget()
    assert learn(table, "again")
    assert dictionary(ring, table, 1) == ["/again"]


def test_a_table_in_a_used_slot_has_no_entities_of_the_former_one() -> None:
    """An append stores no entity index 0. A slot that was never freed is known to be zeros, and is not cleared."""
    ring = make_ring(GEOMETRY)
    first = open_table(ring)
    begin = GEOMETRY.slot_offset(first.slot) + first._plan.entity
    end = begin + 2 * first._plan.capacity
    ring.memory[begin:end] = b"\1" * (end - begin)
    ring.free(first.slot)
    second = open_table(ring)
    assert second.slot == first.slot
    assert bytes(ring.memory[begin:end]) == bytes(end - begin)


def test_a_closed_table_tells_its_greatest_time_and_takes_no_more() -> None:
    ring = make_ring(GEOMETRY)
    table = open_table(ring)
    assert learn(table, "a")
    assert [table.append("a", Number(), {}) for _ in range(3)] == [True] * 3
    begin = GEOMETRY.slot_offset(table.slot) + table._plan.clock
    clock = ring.memory[begin : begin + 24].cast("Q")
    clock[1] = clock[2] + 5  # the clock has been set back since
    assert table.close() == clock[1]
    with pytest.raises(ValueError, match="released"):
        table.append("a", Number(), {})
    assert table.close() == clock[1], "closing again, after an exception, changes nothing"


def test_the_greatest_of_no_words_is_zero() -> None:
    assert _greatest(b"") == 0
    assert _greatest(b"".join(n.to_bytes(8, "little") for n in (5, (1 << 64) - 1, 7))) == (1 << 64) - 1
