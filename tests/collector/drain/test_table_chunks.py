"""Tables, from the append to the chunk: a reader gets the rows that were logged, however sweeps divide them."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rerun_mp.collector.drain import table_chunks
from rerun_mp.collector.drain.table_chunks import MAX_SHARING_BYTES, build_table_chunks
from rerun_mp.collector.drain.table_rows import Dictionary, RunningClock, TakenRows, copy_rows, gather
from rerun_mp.encoding.component_arrays import arrow_type, blocks_of
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ListComponent, NumericComponent, RowLayout, ValueKind, columns_layout
from rerun_mp.encoding.tables import TableShape, pack_head, pack_plan, pack_text, plan_table, unpack_head
from rerun_mp.errors import CorruptionError
from rerun_mp.producer.open_table import OpenTable, TableRow, plan_for
from rerun_mp.shm.layout import Geometry, Kind
from rerun_mp.shm.ring import Ring
from tests.shm.bench_ring import always, claim_one, make_ring, make_writer

GEOMETRY = Geometry(slot_bytes=16384, slots=4, producers=4)
NONCE = bytes(16)


class Fast:
    """Stands for an archetype of fixed layout: it has the attributes that an append reads."""

    _block: Any
    _blocks: Any
    _layout: Any

    def __init__(self, **slots: Any) -> None:
        self.__dict__.update(slots)


def table_of(
    ring: Ring, kind: ValueKind, rows: list[tuple[str, Fast, int]], components: tuple[Any, ...] = ()
) -> tuple[OpenTable, TableShape]:
    """Return a table to which (entity, archetype, step) rows were appended."""
    writer, _ = make_writer(ring)
    slot = claim_one(writer, Kind.TABLE, 0, always, always)
    assert slot is not None
    row_bytes = 16 if kind == ValueKind.COLUMNS else 0
    shape = TableShape(RecordingKey("app", "rec"), kind, components, True, (("step", "sequence"),), row_bytes)
    plan = plan_for(shape, GEOMETRY.slot_bytes)
    assert plan is not None
    plan = plan._replace(first_counter=1000, min_time=5)
    table = OpenTable(writer, slot, shape, plan, lambda: None, None)
    for name, archetype, step in rows:
        assert table.learn(TableRow(shape, name, b"/" + name.encode(), archetype, {}))
        assert table.append(name, archetype, {"step": step})
    return table, shape


def take(
    ring: Ring,
    table: OpenTable,
    start: int,
    stop: int,
    dictionary: Dictionary | None = None,
    clock: RunningClock | None = None,
) -> TakenRows:
    """Copy rows as a sweep does."""
    at = GEOMETRY.slot_offset(table.slot)
    head = memoryview(bytes(ring.memory[at : at + 4096]))
    shape, plan = unpack_head(head, GEOMETRY.slot_bytes)
    rows = (table.slot, 1, start, stop)
    return copy_rows(ring.memory, at, GEOMETRY.slot_bytes, shape, plan, rows, dictionary or Dictionary(), 0, clock)


def read(chunks: list[Any], component: str) -> dict[str, list[tuple[int, Any]]]:
    """Return (step, value) of each entity's rows, in the order of the row ids."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for chunk in chunks:
        assert chunk.batch.column(0).to_pylist() == sorted(chunk.batch.column(0).to_pylist())
        chunk.batch.validate(full=True)
        steps = chunk.batch.column("step").to_pylist()
        values = chunk.batch.column(component).to_pylist()
        found.setdefault(chunk.entity_path, []).extend(zip(steps, values, strict=True))
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(allow_nan=False), st.integers(-(2**63) + 1, 2**63 - 1)),
        min_size=1,
        max_size=40,
    ),
    st.data(),
)
def test_numbers_come_back_whatever_the_sweeps(rows: list[tuple[str, float, int]], data: st.DataObject) -> None:
    """However sweeps cut a table, each entity's rows come back in order, with ids of their own."""
    ring = make_ring(GEOMETRY)
    table, _ = table_of(ring, ValueKind.SCALARS, [(name, Fast(_value=value), step) for name, value, step in rows])
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows)), max_size=4)) | {len(rows)})
    chunks, start, dictionary = [], 0, Dictionary()
    for stop in cuts:
        chunks += build_table_chunks([take(ring, table, start, stop, dictionary)], nonce=NONCE).chunks
        start = stop
    expected: dict[str, list[tuple[int, Any]]] = {}
    for name, value, step in rows:
        expected.setdefault("/" + name, []).append((step, [value]))
    assert read(chunks, "Scalars:scalars") == expected
    ids = [row_id for chunk in chunks for row_id in chunk.batch.column(0).to_pylist()]
    assert len(set(ids)) == len(rows)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.data())
def test_row_ids_are_the_same_however_sweeps_cut_a_table(clocks: list[int], data: st.DataObject) -> None:
    """The clock may step back; a sweep may also copy rows again that an earlier one has copied."""
    ring = make_ring(GEOMETRY)
    table, _ = table_of(ring, ValueKind.SCALARS, [("a", Fast(_value=0.0), step) for step in range(len(clocks))])
    at = GEOMETRY.slot_offset(table.slot)
    _, plan = unpack_head(memoryview(bytes(ring.memory[at : at + 4096])), GEOMETRY.slot_bytes)
    stored = memoryview(ring.memory)[at + plan.clock : at + plan.clock + 8 * len(clocks)].cast("Q")
    for row, steps in enumerate(clocks):
        stored[row] = plan.min_time - 1 + steps
    whole = take(ring, table, 0, len(clocks))
    ids = list(zip(whole.time_half.tolist(), whole.counter_half.tolist(), strict=True))
    assert ids == sorted(set(ids))
    clock = RunningClock()
    for _ in range(5):
        start = data.draw(st.integers(0, len(clocks) - 1))
        stop = data.draw(st.integers(start + 1, len(clocks)))
        for begin, end in ((start, stop), (stop, len(clocks))):
            if begin < end:
                some = take(ring, table, begin, end, clock=clock)
                assert list(zip(some.time_half.tolist(), some.counter_half.tolist(), strict=True)) == ids[begin:end]


def test_the_chunk_of_one_row_is_that_of_the_general_way() -> None:
    """A repeated sweep must give the same chunk, and one row takes a shorter way."""
    ring = make_ring(GEOMETRY)
    for kind, rows in (
        (ValueKind.SCALARS, [("a", Fast(_value=0.5), 3), ("b", Fast(_value=1.5), 4)]),
        (ValueKind.LEVELLED_TEXT, [(name, Fast(_text="Ü", _level="INFO"), 3) for name in "ab"]),
    ):
        table, _ = table_of(ring, kind, rows)
        taken = take(ring, table, 1, 2)
        (short,) = build_table_chunks([taken], nonce=NONCE).chunks
        (general,) = table_chunks._chunks_of_shape(taken.shape, [taken], NONCE)
        assert (short.chunk_id, short.entity_path, short.scope) == (
            general.chunk_id,
            general.entity_path,
            general.scope,
        )
        assert short.batch.equals(general.batch, check_metadata=True)


@given(
    st.lists(st.tuples(st.text(max_size=30), st.sampled_from(["INFO", "WARN", "Ü"])), min_size=1, max_size=20),
    st.booleans(),
)
def test_texts_come_back(rows: list[tuple[str, str]], levelled: bool) -> None:
    """Texts of any length and script come back, with their levels if they have any."""
    rows = [(text.encode("utf-8", "replace").decode(), level) for text, level in rows]
    ring = make_ring(GEOMETRY)
    kind = ValueKind.LEVELLED_TEXT if levelled else ValueKind.TEXT
    levels = [level if levelled else None for _, level in rows]
    logged = [
        ("a", Fast(_text=text, _level=level), n) for n, ((text, _), level) in enumerate(zip(rows, levels, strict=True))
    ]
    table, _ = table_of(ring, kind, logged)
    dictionary = Dictionary()
    half = len(rows) // 2
    ranges = [(0, half), (half, len(rows))] if half else [(0, len(rows))]
    chunks = []
    for start, stop in ranges:
        chunks += build_table_chunks([take(ring, table, start, stop, dictionary)], nonce=NONCE).chunks
    assert read(chunks, "TextLog:text") == {"/a": [(n, [text]) for n, (text, _) in enumerate(rows)]}
    if levelled:
        assert read(chunks, "TextLog:level") == {"/a": [(n, [level]) for n, (_, level) in enumerate(rows)]}


POSITIONS = ListComponent(
    "Points3D:positions", "rerun.archetypes.Points3D", "rerun.components.Position3D", '["fixed",3,false,"f4"]'
)
LABELS = ListComponent("Points3D:labels", "rerun.archetypes.Points3D", "rerun.components.Text", '"s"')
STRIPS = ListComponent("strips", None, None, '["list",false,["fixed",2,false,"f4"]]')
SHOWN = ListComponent("shown", None, None, '"b1"')


@pytest.mark.parametrize("sizes", [(5, 1, 9, 2, 30), (6, 6, 6, 6, 6)])
def test_numbers_of_any_count_come_back(sizes: tuple[int, ...]) -> None:
    """Rows of one table may have any number of points, but none may end within a point."""
    ring = make_ring(GEOMETRY)
    blocks = [np.arange(n, 4 * n, dtype=np.float32).reshape(n, 3) for n in sizes]
    components = (POSITIONS,)
    layout = columns_layout(components)
    rows = [("pq"[n % 2], Fast(_layout=layout, _blocks=[block.data.cast("B")]), n) for n, block in enumerate(blocks)]
    table, _ = table_of(ring, ValueKind.COLUMNS, rows, components)
    built = build_table_chunks([take(ring, table, 0, 2), take(ring, table, 2, 5)], nonce=NONCE)
    assert built.good_rows == {table.slot: 3}  # the last one's: a sweep takes a slot once
    assert read(built.chunks, "Points3D:positions") == {
        "/" + name: [(n, blocks[n].tolist()) for n in range(5) if "pq"[n % 2] == name] for name in "pq"
    }
    broken = Fast(_layout=layout, _blocks=[memoryview(bytes(16))])
    table, _ = table_of(ring, ValueKind.COLUMNS, [("p", broken, 0)], components)
    with pytest.raises(CorruptionError, match="within an instance"):
        take(ring, table, 0, 1)


LISTS = st.lists(
    st.tuples(
        st.lists(st.text(max_size=5), max_size=3),
        st.lists(st.tuples(*[st.integers(-9, 9)] * 3), max_size=3),
        st.lists(st.booleans(), max_size=9),
        st.lists(st.lists(st.tuples(*[st.integers(-9, 9)] * 2), max_size=3), max_size=2),
    ),
    min_size=2,
    max_size=12,
)


@given(LISTS, st.integers(1, 11))
def test_rows_of_several_components_come_back(values: list[tuple[Any, ...]], cut: int) -> None:
    """Each component of each row comes back, whatever the entities, the lengths and the sweeps."""
    cut = min(cut, len(values) - 1)
    ring = make_ring(GEOMETRY)
    components = (LABELS, POSITIONS, SHOWN, STRIPS)
    layout = columns_layout(components)
    rows = []
    for n, row in enumerate(values):
        blocks: list[Any] = []
        for component, items in zip(components, row, strict=True):
            blocks += blocks_of(component.type, pa.array(items, arrow_type(component.type))) or []
        rows.append(("pq"[n % 2], Fast(_layout=layout, _blocks=blocks), n))
    table, _ = table_of(ring, ValueKind.COLUMNS, rows, components)
    built = build_table_chunks([take(ring, table, 0, cut), take(ring, table, cut, len(rows))], nonce=NONCE)
    for number, component in enumerate(components):
        expected = {
            "/" + name: [(n, _lists(row[number])) for n, row in enumerate(values) if "pq"[n % 2] == name]
            for name in "pq"
        }
        assert read(built.chunks, component.name) == {name: found for name, found in expected.items() if found}


def _lists(items: Any) -> Any:
    return [_lists(item) for item in items] if isinstance(items, list | tuple) else items


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300)), min_size=1, max_size=20), st.sampled_from([1, 4]))
def test_blocks_are_gathered_one_after_the_other(blocks: list[tuple[int, int]], unit: int) -> None:
    raw = np.random.default_rng(0).integers(0, 255, sum(gap + size for gap, size in blocks) * unit, dtype=np.uint8)
    sizes = np.array([size for _, size in blocks], np.int32) * unit
    begins = np.cumsum([gap + size for gap, size in blocks], dtype=np.int32) * unit - sizes
    expected = b"".join(bytes(raw[begin : begin + size]) for begin, size in zip(begins, sizes, strict=True))
    assert bytes(gather(raw, begins, sizes)) == expected


COMPONENTS = (
    NumericComponent("Anything", "numbers", "Number", "u1", 0, 3),
    NumericComponent("Anything", "pairs", "Pair", "f4", 2, 2),
)
PACKED = RowLayout(ValueKind.PACKED, COMPONENTS)


def test_packed_parts_come_back() -> None:
    """Each component of a block becomes a column, wherever in the block it lies."""
    ring = make_ring(GEOMETRY)
    rows = [("p", Fast(_row_layout=PACKED, _block=struct.pack("<3B4f", n, 2, 3, n, 0.5, 1, -1)), n) for n in range(5)]
    table, _ = table_of(ring, ValueKind.PACKED, rows, COMPONENTS)
    assert not table.append(
        "p", Fast(_row_layout=RowLayout(ValueKind.PACKED, COMPONENTS[:1]), _block=bytes(3)), {"step": 0}
    )
    chunks = build_table_chunks([take(ring, table, 0, 2), take(ring, table, 2, 5)], nonce=NONCE).chunks
    assert read(chunks, "Anything:numbers") == {"/p": [(n, [n, 2, 3]) for n in range(5)]}
    assert read(chunks, "Anything:pairs") == {"/p": [(n, [[n, 0.5], [1, -1]]) for n in range(5)]}
    metadata = chunks[0].batch.schema.field("Anything:pairs").metadata
    assert metadata[b"rerun:component_type"] == b"rerun.components.Pair"


@pytest.mark.parametrize(
    "components",
    [
        (),
        COMPONENTS[:1] * 2,
        (COMPONENTS[0]._replace(size=-1),),
        (COMPONENTS[0]._replace(size=1 << 16),),
        (COMPONENTS[0]._replace(instances=0),),
        (COMPONENTS[0]._replace(instances=1 << 40),),
        (COMPONENTS[0]._replace(field="no name"),),
        (COMPONENTS[0]._replace(archetype=""),),
    ],
)
def test_components_that_cannot_be_are_noticed(components: tuple[NumericComponent, ...]) -> None:
    shape = TableShape(RecordingKey("app", "rec"), ValueKind.PACKED, components, True, ())
    plan = plan_table(shape._replace(components=COMPONENTS), len(pack_head(shape)), GEOMETRY.slot_bytes, 0, 0)
    assert plan is not None
    with pytest.raises(CorruptionError):
        unpack_head(memoryview(pack_head(shape) + pack_plan(plan)), GEOMETRY.slot_bytes)


def test_rows_of_slots_with_equal_and_with_other_dictionaries_come_to_their_entities() -> None:
    ring = make_ring(GEOMETRY)
    slots = ["abab", "bcca", "ab", "cbba"]  # the second half of a slot's rows knows all of its entities
    taken, expected = [], Counter[tuple[str, int]]()
    for number, names in enumerate(slots):
        rows = [(name, Fast(_value=0.5), 10 * number + step) for step, name in enumerate(names)]
        table, _ = table_of(ring, ValueKind.SCALARS, rows)
        dictionary = Dictionary()
        taken += [
            take(ring, table, *bounds, dictionary) for bounds in ((0, len(names) // 2), (len(names) // 2, len(names)))
        ]
        expected.update((f"/{name}", step) for name, _, step in rows)
    found = read(build_table_chunks(taken, nonce=NONCE).chunks, "Scalars:scalars")
    assert Counter((path, step) for path, values in found.items() for step, _ in values) == expected


@pytest.mark.skipif(not hasattr(pa, "concat_batches"), reason="before pyarrow 19 all chunks share buffers")
@pytest.mark.parametrize("entities", [1, 2000])
def test_small_chunks_of_a_large_batch_share_buffers_with_few_others(entities: int) -> None:
    """rerun-sdk counts all that lies before a chunk in its buffers as a part of it. Large chunks are not copied."""
    rows = 100_000
    numbers = np.arange(rows)
    ids = numbers.astype(np.uint64)
    taken = TakenRows(
        slot=0,
        epoch=1,
        start=0,
        stop=rows,
        shape=TableShape(RecordingKey("app", "rec"), ValueKind.SCALARS, (), True, (("step", "sequence"),)),
        clock=ids,
        time_half=ids,
        counter_half=ids,
        entity=(numbers % entities).astype(np.uint16),
        paths=[f"/{entity}" for entity in range(entities)],
        timelines=[numbers],
        values=numbers * 0.5,
        num_bytes=0,
    )
    chunks = build_table_chunks([taken], nonce=NONCE).chunks
    row_bytes = sum(chunk.num_bytes for chunk in chunks) / rows
    counted = [row_bytes * (chunk.batch.column(0).offset + chunk.num_rows) for chunk in chunks]
    assert (max(counted) > MAX_SHARING_BYTES) is (entities == 1)
    assert read(chunks, "Scalars:scalars") == {
        f"/{entity}": [(n, [n * 0.5]) for n in range(entity, rows, entities)] for entity in range(entities)
    }


def test_wide_rows_of_two_producers_come_to_their_entities_in_order() -> None:
    """The slots' rows lie in the order of the calls, and those of a chunk in the order of the row ids."""
    ring = make_ring(GEOMETRY)
    layout = columns_layout((POSITIONS,))
    names = "abcab"
    taken = []
    for producer in range(2):
        blocks = [np.full((2, 3), 10 * producer + step, np.float32) for step in range(len(names))]
        rows = [(name, Fast(_layout=layout, _blocks=[blocks[n].data.cast("B")]), n) for n, name in enumerate(names)]
        table, _ = table_of(ring, ValueKind.COLUMNS, rows, (POSITIONS,))
        times = np.arange(len(names), dtype=np.uint64) * np.uint64(2) + np.uint64(producer)
        taken.append(replace(take(ring, table, 0, len(names)), time_half=times))
    found = read(build_table_chunks(taken, nonce=NONCE).chunks, "Points3D:positions")
    assert found == {
        f"/{name}": [
            (n, [[10 * producer + n] * 3] * 2) for n, own in enumerate(names) if own == name for producer in range(2)
        ]
        for name in "abc"
    }


def test_a_repeated_sweep_makes_the_same_chunks() -> None:
    """A restarted collector that takes the same ranges makes chunks with the same ids and the same rows."""
    ring = make_ring(GEOMETRY)
    rows = [(name, Fast(_value=float(n)), n) for n, name in enumerate("abacab")]
    one, _ = table_of(ring, ValueKind.SCALARS, rows)
    other, _ = table_of(ring, ValueKind.SCALARS, rows)
    taken = [take(ring, one, 0, 6), take(ring, other, 0, 6)]
    first = build_table_chunks(taken, nonce=NONCE).chunks
    again = build_table_chunks(taken[::-1], nonce=NONCE).chunks
    assert {chunk.chunk_id: chunk.batch for chunk in first} == {chunk.chunk_id: chunk.batch for chunk in again}
    assert len({chunk.chunk_id for chunk in first}) == 3
    others = build_table_chunks(taken[:1], nonce=NONCE).chunks
    assert not {chunk.chunk_id for chunk in first} & {chunk.chunk_id for chunk in others}


def test_the_chunk_id_depends_on_everything_that_identifies_the_rows() -> None:
    """Hazard 5: entities of one table, two slots or ranges, two segments: of equal chunk ids readers keep one chunk."""
    ring = make_ring(GEOMETRY)
    # Equal row ids and values, so that nothing but what identifies them differs.
    rows = [(name, Fast(_value=1.0), 1) for name in "ab"]
    (one, _), (other, _) = table_of(ring, ValueKind.SCALARS, rows), table_of(ring, ValueKind.SCALARS, rows)
    first = take(ring, one, 0, 2)
    alike = replace(first, time_half=np.full(2, 7, np.uint64))
    variants = [
        build_table_chunks([taken], nonce=nonce).chunks
        for taken, nonce in (
            (alike, NONCE),
            (alike, b"another segment."),
            (replace(alike, slot=other.slot), NONCE),
            (replace(alike, epoch=2), NONCE),
            (replace(alike, start=1, stop=3), NONCE),
            (replace(alike, shape=alike.shape._replace(recording=RecordingKey("app", "another"))), NONCE),
            (replace(alike, shape=alike.shape._replace(timelines=(("frame", "sequence"),))), NONCE),
        )
    ]
    ids = [chunk.chunk_id for chunks in variants for chunk in chunks]
    assert len(ids) == 2 * len(variants)
    assert len(set(ids)) == len(ids)


def test_row_ids_ascend_though_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time half of a row id is the running maximum of the clock; log_time is the clock itself."""
    ring = make_ring(GEOMETRY)
    clocks = iter((100, 50, 200, 150))
    monkeypatch.setattr("time.time_ns", lambda: next(clocks))
    table, _ = table_of(ring, ValueKind.SCALARS, [("a", Fast(_value=float(n)), n) for n in range(4)])
    taken = [take(ring, table, 0, 2), take(ring, table, 2, 4)]
    assert np.concatenate([part.time_half for part in taken]).tolist() == [100, 100, 200, 200]
    assert np.concatenate([part.counter_half for part in taken]).tolist() == [1000, 1001, 1002, 1003]
    chunk = build_table_chunks(taken[1:], nonce=NONCE).chunks[0]
    assert chunk.batch.column("log_time").cast("int64").to_pylist() == [200, 150]


@example(44, b" ")
@given(st.integers(0, GEOMETRY.slot_bytes - 1) | st.integers(0, 400), st.binary(min_size=1, max_size=64))
@pytest.mark.parametrize("kind", [ValueKind.LEVELLED_TEXT, ValueKind.COLUMNS, ValueKind.PACKED])
def test_damage_is_noticed_or_harmless(kind: ValueKind, at: int, junk: bytes) -> None:
    """Any bytes anywhere in a slot give rows or a CorruptionError: no crash, and no row beyond the count."""
    ring = make_ring(GEOMETRY)
    archetype = Fast(_text="text", _level="INFO", _row_layout=PACKED)
    archetype._block = bytes(19)
    columns = (LABELS, POSITIONS, STRIPS)
    archetype._layout = columns_layout(columns)
    archetype._blocks = [b"\2\0\0\0", "ü".encode(), bytes(24), b"\1\0\0\0\2\0\0\0", bytes(24)]
    rows = [("ab"[n % 2], archetype, n) for n in range(20)]
    table, _ = table_of(ring, kind, rows, {ValueKind.PACKED: COMPONENTS, ValueKind.COLUMNS: columns}.get(kind, ()))
    begin = GEOMETRY.slot_offset(table.slot) + at
    end = min(begin + len(junk), GEOMETRY.slot_offset(table.slot + 1))
    ring.memory[begin:end] = junk[: end - begin]
    try:
        built = build_table_chunks([take(ring, table, 0, 20)], nonce=NONCE)
    except CorruptionError:
        return
    assert sum(chunk.num_rows for chunk in built.chunks) == 20
    for chunk in built.chunks:
        chunk.batch.validate(full=True)


def test_a_slot_that_begins_with_the_texts_of_another_one_is_read_on_from_there() -> None:
    """Nor does its own reader keep fewer texts for the next slot than the one before it has read."""
    memory = memoryview(bytearray(b"".join(map(pack_text, [b"/a", b"/b", b"/c"]))))
    known = Dictionary()
    known.read(memory, 0, len(memory), 2)
    assert known.texts == ["/a", "/b"]
    later = Dictionary(known)
    later.read(memory, 0, len(memory), 1)
    assert later.texts == ["/a"]
    last = Dictionary(later)
    last.read(memory, 0, len(memory), 2)
    assert last.texts[1] is known.texts[1]
    memory[: len(pack_text(b"/a"))] = bytes(len(pack_text(b"/a")))  # what is known is not read again
    last.read(memory, 0, len(memory), 3)
    assert last.texts == ["/a", "/b", "/c"]
    assert known.texts == ["/a", "/b"]


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc"), min_size=1), st.data())
def test_the_old_bytes_of_a_slot_are_no_texts_of_its_dictionary(
    old: list[str], texts: list[str], data: st.DataObject
) -> None:
    """A table was in the slot whose entities the producer now meets in another order. Sweeps come in between."""
    former_bytes = b"".join(pack_text(text.encode()) for text in old)
    memory = memoryview(bytearray(former_bytes.ljust(100 * len(pack_text(b"a")))))
    former = Dictionary()
    former.read(memory, 0, len(memory), len(old))
    dictionary, written = Dictionary(former), 0
    for number, text in enumerate(texts):
        entry = pack_text(text.encode())
        memory[written : written + len(entry)] = entry
        written += len(entry)
        if data.draw(st.booleans()) or number == len(texts) - 1:
            dictionary.read(memory, 0, len(memory), number + 1)
            assert dictionary.texts == texts[: number + 1]
