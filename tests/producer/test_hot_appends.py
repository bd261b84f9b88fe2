"""The appends of the hot loop: nothing runs in the middle of one, and each refuses rows that it cannot store."""

from __future__ import annotations

import dis
import traceback
from types import CodeType

import pytest

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import NumericComponent, ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.producer.hot_appends import VARIANTS, factory
from rerun_mp.producer.open_table import MAX_TIMELINES, OpenTable, TableRow, plan_for
from rerun_mp.shm.layout import Geometry, Kind
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import always, claim_one, make_ring, make_writer
from tests.shm.bytecode import reachable

GEOMETRY = Geometry(slot_bytes=16384, slots=4, producers=4)


class Number:
    """Stands for an archetype with one number: appends read this attribute."""

    _value = 1.5


@pytest.mark.parametrize("timelines", range(MAX_TIMELINES + 1))
@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_can_run_between_reading_the_count_and_the_commit(name: str, timelines: int) -> None:
    """From reading the count to storing the next one there is no call and no backward jump, on any path.

    Threads take turns, and signal handlers run, only at calls and backward jumps; so appends need no mutex.
    """
    # By name: some versions of Python keep the code of a function's annotations beside its own.
    (inner,) = (const for const in factory(name, timelines).__code__.co_consts if is_code_of(const, "append"))
    code = list(dis.get_instructions(inner))
    names = [str(op.argval) for op in code]
    looks = [
        i
        for i, op in enumerate(code)
        if (op.opname == "BINARY_SUBSCR" or (op.opname == "BINARY_OP" and op.argrepr == "[]"))
        and "count_index" in " ".join(names[i - 2 : i])
    ]
    commits = [
        i for i, op in enumerate(code) if op.opname == "STORE_SUBSCR" and "count_index" in " ".join(names[i - 2 : i])
    ]
    assert len(looks) == len(commits) == 1
    between = {
        i
        for i in reachable(code, {looks[0] + 1}, until=set(commits))
        if commits[0] in reachable(code, {i}, until=set())
    }
    assert len(between) > 20
    for i in between:
        assert "CALL" not in code[i].opname, code[i]
        assert "BACKWARD" not in code[i].opname, code[i]


def is_code_of(constant: object, name: str) -> bool:
    """Say whether a constant is the code of the function `name`."""
    return isinstance(constant, CodeType) and constant.co_name == name


class Text:
    """Stands for a text, with a level or without, and for points."""

    _text = "text"
    _buffer = memoryview(bytes(24))

    def __init__(self, level: str | None) -> None:
        self._level = level


def open_table(
    ring: Ring,
    *,
    kind: ValueKind = ValueKind.SCALARS,
    timelines: tuple[tuple[str, str], ...] = (),
    components: tuple[NumericComponent, ...] = (),
) -> tuple[OpenTable, bytearray, list[int]]:
    """Return a table in a new slot, the fork guard's byte, and a list with an item for each call of `attend`."""
    writer, alive = make_writer(ring)
    slot = claim_one(writer, Kind.TABLE, 0, always, always)
    assert slot is not None
    shape = TableShape(RecordingKey("app", "rec"), kind, components, True, timelines)
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
    """A full, a sealed and a parent's table return False; an unknown entity raises. None of them stores anything."""
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
    other.retire()
    assert not other.append("a", Number(), {})
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
@pytest.mark.parametrize("kind", [ValueKind.TEXT, ValueKind.LEVELLED_TEXT, ValueKind.ARRAY])
def test_an_append_refuses_a_slot_that_has_another_owner(kind: ValueKind, number: int) -> None:
    """A call may use the append of a table whose slot was sealed, freed and claimed for frames: its count is bytes."""
    ring = make_ring(GEOMETRY)
    components = (
        (NumericComponent("Points3D", "positions", "Position3D", "f4", 3, 4),) if kind == ValueKind.ARRAY else ()
    )
    table, _, _ = open_table(ring, kind=kind, components=components)
    archetype = Text("INFO" if kind == ValueKind.LEVELLED_TEXT else None)
    assert table.append("a", archetype, {})
    table.retire()
    before = bytes(ring.memory)
    ring.words[ring.count_word(table.slot)] = number
    assert not table.append("a", archetype, {})
    ring.words[ring.count_word(table.slot)] = 1
    assert bytes(ring.memory) == before
