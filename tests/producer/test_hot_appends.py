"""The appends of the hot loop: what each refuses, and that anything may run in the middle of one."""

from __future__ import annotations

import struct
import time
import traceback
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

from rerun_mp.collector.drain.table_rows import Dictionary, copy_rows
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ListComponent, NumericComponent, RowLayout, ValueKind, columns_layout
from rerun_mp.encoding.tables import TableShape
from rerun_mp.producer.open_table import OpenTable, TableRow, plan_for
from rerun_mp.shm.layout import Geometry, Kind
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import always, claim_one, make_ring, make_writer
from tests.shm.steps import interrupt

GEOMETRY = Geometry(slot_bytes=16384, slots=4, producers=4)


class Number:
    """Stands for an archetype with one number: appends read this attribute."""

    _value = 1.5


POINTS = (
    ListComponent(
        "Points3D:positions",
        "rerun.archetypes.Points3D",
        "rerun.components.Position3D",
        '["fixed",3,false,"f4"]',
    ),
)


class Text:
    """Stands for a text, with a level or without, and for points."""

    _text = "text"
    _blocks = (memoryview(bytes(24)),)
    _layout: Any = None

    def __init__(self, level: str | None) -> None:
        self._level = level


def open_table(
    ring: Ring,
    *,
    kind: ValueKind = ValueKind.SCALARS,
    timelines: tuple[tuple[str, str], ...] = (),
    components: tuple[Any, ...] = (),
) -> tuple[OpenTable, bytearray, list[int]]:
    """Return a table in a new slot, the fork guard's byte, and a list with an item for each call of `attend`."""
    writer, alive = make_writer(ring)
    slot = claim_one(writer, Kind.TABLE, 0, always, always)
    assert slot is not None
    row_bytes = 16 if kind == ValueKind.COLUMNS else 0
    shape = TableShape(RecordingKey("app", "rec"), kind, components, True, timelines, row_bytes)
    plan = plan_for(shape, GEOMETRY.slot_bytes)
    assert plan is not None
    asked: list[int] = []
    table = OpenTable(writer, slot, shape, plan._replace(first_counter=7), lambda: asked.append(1), None)
    assert table.learn(TableRow(shape, "a", b"/a", Text("INFO"), {}))
    return table, alive, asked


def count(ring: Ring, table: OpenTable) -> int:
    """Return how many rows the table has committed."""
    return ring.words[ring.count_word(table.slot)]


def test_an_append_commits_one_row() -> None:
    """Each True means one more row below the count."""
    ring = make_ring(GEOMETRY)
    table, _, asked = open_table(ring, timelines=(("step", "sequence"),))
    assert [table.append("a", Number(), {"step": n}) for n in range(3)] == [True] * 3
    assert count(ring, table) == 3
    assert asked == []


def test_an_append_refuses_what_it_cannot_do() -> None:
    """A full table and a parent's answer False, a closed one and an unknown entity raise; nothing is stored."""
    ring = make_ring(GEOMETRY)
    table, alive, _ = open_table(ring)
    with pytest.raises(KeyError, match="unknown"):
        table.append("unknown", Number(), {})
    assert count(ring, table) == 0
    while table.append("a", Number(), {}):
        pass
    full = count(ring, table)
    assert full == plan_for(table.shape, GEOMETRY.slot_bytes)._replace().capacity  # type: ignore[union-attr]
    other, _, _ = open_table(ring)
    assert other.append("a", Number(), {})
    other.close()
    with pytest.raises(ValueError, match="released"):
        other.append("a", Number(), {})
    third, alive, _ = open_table(ring)
    alive[0] = 0
    assert not third.append("a", Number(), {})
    assert (count(ring, table), count(ring, other), count(ring, third)) == (full, 1, 0)


@pytest.mark.parametrize("kind", [ValueKind.TEXT, ValueKind.LEVELLED_TEXT])
def test_a_table_of_texts_takes_those_with_a_level_or_those_without(kind: ValueKind) -> None:
    """No level is lost or made up."""
    ring = make_ring(GEOMETRY)
    table, _, _ = open_table(ring, kind=kind)
    taken = [table.append("a", Text(level), {}) for level in (None, "INFO", None)]
    assert taken == ([True, False, True] if kind == ValueKind.TEXT else [False, True, False])
    assert count(ring, table) == taken.count(True)


def test_a_traceback_shows_the_line_of_an_append() -> None:
    """The appends are compiled from a template; an error in one names its source all the same."""
    table, _, _ = open_table(make_ring(GEOMETRY))
    with pytest.raises(AttributeError) as caught:
        table.append("a", object(), {})
    (*_, last) = traceback.extract_tb(caught.value.__traceback__)
    assert (last.name, last.line) == ("append", "value = logged._value")


def test_an_archetype_without_its_number_costs_nothing() -> None:
    """An object without the archetype's attribute raises before anything is stored."""
    ring = make_ring(GEOMETRY)
    table, _, _ = open_table(ring)
    with pytest.raises(AttributeError):
        table.append("a", object(), {})
    assert count(ring, table) == 0


def test_the_collector_is_woken_after_the_commit() -> None:
    """A row is committed before it wakes a sleeping collector."""
    from rerun_mp.shm.layout import Attention, Header

    ring = make_ring(GEOMETRY)
    table, _, asked = open_table(ring)
    ring.words[Header.ATTENTION] = Attention.SLEEPING
    assert table.append("a", Number(), {})
    assert asked == [1]
    assert count(ring, table) == 1


@pytest.mark.parametrize("number", [1 << 20, (1 << 64) - 1])
@pytest.mark.parametrize("kind", [ValueKind.TEXT, ValueKind.LEVELLED_TEXT, ValueKind.COLUMNS])
def test_an_append_refuses_a_slot_that_has_another_owner(kind: ValueKind, number: int) -> None:
    """A call may use the append of a table whose slot was sealed, freed and claimed for frames: its count is bytes."""
    ring = make_ring(GEOMETRY)
    table, _, _ = open_table(ring, kind=kind, components=POINTS if kind == ValueKind.COLUMNS else ())
    archetype = Text("INFO" if kind == ValueKind.LEVELLED_TEXT else None)
    archetype._layout = columns_layout(POINTS)
    assert table.append("a", archetype, {})
    table.close()
    before = bytes(ring.memory)
    ring.words[ring.count_word(table.slot)] = number
    with pytest.raises(ValueError, match="released"):
        table.append("a", archetype, {})
    ring.words[ring.count_word(table.slot)] = 1
    assert bytes(ring.memory) == before


LABELLED = (ListComponent("a", None, None, '"s"'), *POINTS)
BLOCK = (NumericComponent("Transform3D", "translation", "Translation3D", "f4", 3, 1),)
KINDS: dict[str, tuple[ValueKind, tuple[Any, ...], Callable[[int], object]]] = {
    "scalars": (ValueKind.SCALARS, (), lambda n: Logged(_value=float(n))),
    "number": (ValueKind.SCALARS, (), float),
    "text": (ValueKind.TEXT, (), lambda n: Logged(_level=None, _text=f"text {n}")),
    "levelled text": (ValueKind.LEVELLED_TEXT, (), lambda n: Logged(_level="INFO", _text=f"text {n}")),
    "points": (
        ValueKind.COLUMNS,
        POINTS,
        lambda n: Logged(_layout=columns_layout(POINTS), _blocks=[memoryview(struct.pack("<3f", n, n, n))]),
    ),
    "columns": (
        ValueKind.COLUMNS,
        LABELLED,
        lambda n: Logged(
            _layout=columns_layout(LABELLED), _blocks=[b"\1\0\0\0", b"x", memoryview(struct.pack("<3f", n, n, n))]
        ),
    ),
    "packed": (
        ValueKind.PACKED,
        BLOCK,
        lambda n: Logged(_row_layout=RowLayout(ValueKind.PACKED, BLOCK), _block=struct.pack("<3f", n, n, n)),
    ),
}


class Logged:
    """Stands for an archetype: what appends read are its attributes."""

    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


class Victim:
    """A table, and calls of its append that are interrupted."""

    def __init__(self, name: str, timelines: int = 1) -> None:
        self.kind, components, self.make = KINDS[name]
        self.ring = make_ring(GEOMETRY)
        steps = tuple((f"step {n}", "sequence") for n in range(timelines))
        self.table, _, _ = open_table(self.ring, kind=self.kind, timelines=steps, components=components)
        append = self.table.append_number if name == "number" else self.table.append
        assert isinstance(append, FunctionType)
        self.append_function = append
        self.point = {name: 7 for name, _ in steps}

    def append(self, number: int) -> bool:
        """Append a row that says `number`."""
        return bool(self.append_function("a", self.make(number), self.point))

    def rows(self) -> list[int]:
        """Return what the committed rows say, as the collector reads them."""
        ring, table = self.ring, self.table
        committed = ring.words[ring.count_word(table.slot)]
        if not committed:
            return []
        plan, at = table._plan, ring.geometry.slot_offset(table.slot)
        rows = (table.slot, 0, 0, committed)
        taken = copy_rows(ring.memory, at, GEOMETRY.slot_bytes, table.shape, plan, rows, Dictionary())
        assert all((times == 7).all() for times in taken.timelines)
        if self.kind == ValueKind.SCALARS:
            return [int(value) for value in taken.values]
        if self.kind == ValueKind.PACKED:
            return [int(value) for value in taken.values.view("<f4")[:, 0]]
        if self.kind == ValueKind.COLUMNS:
            if isinstance(taken.values, list):
                assert all(labels == ["x"] for labels in taken.values[0].to_pylist())
                return [int(points[0][0]) for points in taken.values[1].to_pylist()]
            bounds, raw = taken.values.bounds, bytes(taken.values.shared)
            return [int(struct.unpack_from("<f", raw, 12 * begin)[0]) for begin in bounds[:-1]]
        return [int(str(text).removeprefix("text ")) for text in taken.values[0]]


def interrupted_at_each_step(name: str, action: Callable[[Victim], object]) -> Iterator[tuple[Victim, object]]:
    """Yield a victim for each instruction of an append, `action` having run before it, and how the append ended."""
    step = 0
    while True:
        victim = Victim(name)
        assert victim.append(1)
        ended: list[object] = []

        def call(victim: Victim = victim, ended: list[object] = ended) -> None:
            try:
                ended.append(victim.append(2))
            except (KeyError, ValueError) as error:
                ended.append(error)

        if not interrupt(call, victim.append_function, step, lambda victim=victim: action(victim)):  # type: ignore[misc]
            break
        yield victim, ended[0]
        step += 1
    assert step > 30


@pytest.mark.parametrize("name", KINDS)
def test_a_nested_append_is_whole_or_refused(name: str) -> None:
    """A signal handler, a `__del__` or a trace function may log at any instruction of an append."""
    nested: list[bool] = []
    for victim, outer in interrupted_at_each_step(name, lambda victim: nested.append(victim.append(3))):
        rows = victim.rows()
        assert rows[0] == 1
        assert sorted(rows[1:]) == [2] * (outer is True) + [3] * nested[-1]
        assert victim.append(4)
        assert victim.rows() == [*rows, 4]
    assert True in nested
    assert False in nested


@pytest.mark.parametrize("name", KINDS)
def test_an_exception_leaves_the_row_once_or_not_at_all(name: str) -> None:
    def fail(_: Victim) -> None:
        raise KeyError("the program's own")

    left_marks = 0
    for victim, outer in interrupted_at_each_step(name, fail):
        assert isinstance(outer, KeyError)
        rows = victim.rows()
        assert rows in ([1], [1, 2])
        left_marks += victim.table.is_marked
        victim.table.mark.free = True  # as the slow path does, when no append runs
        assert victim.append(3)
        assert victim.rows() == [*rows, 3]
    assert left_marks > 5


@pytest.mark.parametrize("name", KINDS)
def test_an_append_whose_table_is_closed_in_the_middle_stores_nothing_more(name: str) -> None:
    """The slot may be another producer's by then; in a forked child it is the parent's."""
    images: list[bytes] = []

    def close(victim: Victim) -> None:
        victim.table.close()
        # Whatever another owner may have put there.
        offset = victim.ring.geometry.slot_offset(victim.table.slot)
        victim.ring.memory[offset : offset + GEOMETRY.slot_bytes] = b"\xaa" * GEOMETRY.slot_bytes
        images.append(bytes(victim.ring.memory))

    committed = 0
    for victim, outer in interrupted_at_each_step(name, close):
        assert bytes(victim.ring.memory) == images[-1]
        count_of_rows = victim.ring.words[victim.ring.count_word(victim.table.slot)]
        assert count_of_rows == (2 if outer is True else 1)
        committed += outer is True
    assert committed > 0


@pytest.mark.parametrize("name", KINDS)
def test_an_append_that_has_started_goes_on_after_a_nested_one_has_filled_the_table(name: str) -> None:
    """The nested calls that find the mark are refused; those before it leave a full table, which refuses."""

    def fill(victim: Victim) -> None:
        while victim.append(3):
            pass

    for victim, outer in interrupted_at_each_step(name, fill):
        rows = victim.rows()
        assert rows.count(2) == (outer is True)
        assert set(rows) <= {1, 2, 3}


def test_a_time_before_1970_is_refused_and_leaves_the_table_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [-5]
    monkeypatch.setattr(time, "time_ns", lambda: now[0])
    victim = Victim("scalars")
    with pytest.raises(ValueError, match="format"):
        victim.append(1)
    victim.table.mark.free = True
    now[0] = 5
    assert victim.append(2)
    assert victim.rows() == [2]
