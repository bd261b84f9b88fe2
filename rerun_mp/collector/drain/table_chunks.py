"""Rows of table slots, copied out and made into chunks: vectorised, no Python loop over rows.

`copy_rows` takes the new rows of one slot into numpy arrays and checks every index and offset in the copy. Only the
numbers of arrays, which need no check and are most of the bytes, are copied later, to where they belong in a batch.
`build_table_chunks` puts rows of one shape from all slots together, sorts them by entity and row id, and cuts a chunk
out of the sorted batch for each entity. As with frames, ids depend on nothing but the ranges that were taken, so a
sweep that is repeated makes the same chunks.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.collector.drain.frame_chunks import (
    MAX_PART_BYTES,
    MAX_PART_ROWS,
    ROW_ID_FIELD,
    SORBET_VERSION,
    BuiltChunks,
    ChunkBatch,
)
from rerun_mp.encoding.tables import (
    TEXT_KINDS,
    WIDE_ROW,
    WORD,
    NumericComponent,
    TablePlan,
    TableShape,
    ValueKind,
    unpack_texts,
)
from rerun_mp.errors import CorruptionError

__all__ = ["TakenRows", "build_table_chunks", "copy_rows"]

TIME_TYPES = {"sequence": pa.int64(), "timestamp": pa.timestamp("ns"), "duration": pa.duration("ns")}
NEAR_DICTIONARY = 2048
ITEM_TYPES = {"f4": pa.float32(), "u1": pa.uint8()}


class ArrayValues(NamedTuple):
    """The arrays of a slot's rows."""

    bounds: Any
    """int32: where in `shared` each row begins, and the last one ends, in instances."""
    shared: memoryview
    """Still in shared memory: any bytes are numbers. Nobody changes them, unless he would harm himself."""


@dataclass(frozen=True, slots=True)
class TakenRows:
    """What one sweep took of one table slot: rows [start, stop) of its epoch, as columns of their own memory."""

    slot: int
    epoch: int
    start: int
    stop: int
    shape: TableShape
    clock: Any
    """uint64, nanoseconds."""
    time_half: Any
    """uint64: of the row ids."""
    counter_half: Any
    """uint64: of the row ids."""
    entity: Any
    """uint16: index into `paths`."""
    paths: list[str]
    timelines: list[Any]
    """int64 each."""
    values: Any
    """By `ValueKind`: float64; uint8 of shape (rows, width); `ArrayValues`; or a pair of texts and levels, or None."""
    num_bytes: int
    """Bytes that the copy takes, about."""
    scope: int = 0
    """Of the producer: `config.Scope`."""

    @property
    def range(self) -> tuple[int, int, int, int]:
        """(slot, epoch, start, stop)."""
        return (self.slot, self.epoch, self.start, self.stop)


def copy_rows(
    memory: memoryview,
    at: int,
    slot_bytes: int,
    shape: TableShape,
    plan: TablePlan,
    rows: tuple[int, int, int, int],
    paths: list[str],
    scope: int = 0,
) -> TakenRows:
    """Copy rows (slot, epoch, start, stop) of the slot that begins at byte `at` of `memory`.

    `paths` is what is known of the slot's dictionary; it is extended in place. `scope` is the producer's.

    Raises
    ------
    CorruptionError
        If the columns are not what the plan says.
    """
    slot, epoch, start, stop = rows
    if not 0 <= start < stop <= plan.capacity:
        raise CorruptionError(f"a table of {plan.capacity} rows claims rows {start} to {stop}")

    def column(offset: int, dtype: str, first: int = start) -> Any:
        width = np.dtype(dtype).itemsize
        begin = at + offset + first * width
        return np.frombuffer(bytes(memory[begin : begin + (stop - first) * width]), dtype)

    all_clocks = column(plan.clock, "<u8", 0)
    reached = np.maximum(np.maximum.accumulate(all_clocks), np.uint64(plan.least_time))
    entity = column(plan.entity, "<u2")
    values: Any
    heap_bytes = 0
    needed = int(entity.max()) + 1
    if shape.value_kind == ValueKind.SCALARS:
        values = column(plan.values, "<f8")
    elif shape.value_kind == ValueKind.PACKED:
        begin = at + plan.values + start * shape.width
        raw = bytes(memory[begin : begin + (stop - start) * shape.width])
        values = np.frombuffer(raw, np.uint8).reshape(stop - start, shape.width)
    else:
        ends = column(plan.values, "<u4", max(0, start - 1))
        levels = column(plan.levels, "<u2") if shape.value_kind == ValueKind.LEVELLED_TEXT else None
        if levels is not None:
            needed = max(needed, int(levels.max()) + 1)
        bounds, heap = _heap(memory, at, plan, ends, stop - start, is_first=start == 0)
        heap_bytes = len(heap)
        if shape.value_kind == ValueKind.ARRAY:
            values = ArrayValues(_instance_bounds(bounds, shape.components[0]), heap)
        else:
            values = (_texts(bounds, bytes(heap)), levels)
    if needed > len(paths):
        # Earlier texts never change, but a later look finds more of them.
        paths[:] = _unpack_dictionary(memory, at + plan.dictionary, at + slot_bytes, needed)
    if shape.value_kind == ValueKind.LEVELLED_TEXT:
        names = pa.array(paths, pa.string())
        values = (values[0], names.take(pa.array(values[1], pa.uint16())))
    return TakenRows(
        slot=slot,
        epoch=epoch,
        start=start,
        stop=stop,
        shape=shape,
        clock=all_clocks[start:],
        time_half=reached[start:],
        counter_half=np.arange(start, stop, dtype=np.uint64) + np.uint64(plan.first_counter),
        entity=entity,
        paths=paths,
        timelines=[
            column(plan.timelines + number * 8 * plan.capacity, "<i8") for number in range(len(shape.timelines))
        ],
        values=values,
        num_bytes=heap_bytes + (stop - start) * (4 * WORD + max(shape.width, WORD)),
        scope=scope,
    )


def _unpack_dictionary(memory: memoryview, begin: int, end: int, needed: int) -> list[str]:
    """Read the first texts of a slot's dictionary. Most slots know few entities: so first only the beginning of it."""
    near = min(begin + NEAR_DICTIONARY, end)
    if near < end:
        with contextlib.suppress(CorruptionError):  # they may lie further on
            return unpack_texts(memoryview(bytes(memory[begin:near])), needed)
    return unpack_texts(memoryview(bytes(memory[begin:end])), needed)


def build_table_chunks(taken: Sequence[TakenRows], *, nonce: bytes) -> BuiltChunks:
    """Group, order and cut what a sweep took of table slots.

    Parameters
    ----------
    taken
        The ranges of the sweep, in any order.
    nonce
        The segment's.
    """
    by_shape: dict[tuple[TableShape, int], list[TakenRows]] = {}
    # Most often this is the order of their rows already, and nothing has to be sorted.
    for rows in sorted(taken, key=lambda rows: (rows.paths[rows.entity[0]], rows.time_half[0], rows.range)):
        by_shape.setdefault((rows.shape, rows.scope), []).append(rows)
    good: Counter[int] = Counter({rows.slot: rows.stop - rows.start for rows in taken})
    chunks: list[ChunkBatch] = []
    for (shape, _), parts in by_shape.items():
        for run in _runs(parts) if shape.width >= WIDE_ROW else [parts]:
            chunks.extend(_chunks_of_shape(shape, run, nonce))
    return BuiltChunks(chunks, good, Counter())


def _runs(parts: list[TakenRows]) -> list[list[TakenRows]]:
    """Divide the parts of one shape, sorted, so that the rows of each run are in order if those of its parts are.

    Where several producers log to one entity, putting wide rows in order would cost more than a chunk for each.
    """
    runs: list[list[TakenRows]] = []
    for part in parts:
        first = (part.time_half[0], part.counter_half[0])
        for run in runs:
            last = run[-1]
            if last.paths[last.entity[-1]] != part.paths[part.entity[0]] or first > (
                last.time_half[-1],
                last.counter_half[-1],
            ):
                run.append(part)
                break
        else:
            runs.append([part])
    return runs


def _chunks_of_shape(shape: TableShape, parts: list[TakenRows], nonce: bytes) -> list[ChunkBatch]:
    numbers: dict[str, int] = {}
    entities = []
    for part in parts:
        # Tables know thousands of entities; a slot's rows are mostly of few.
        used = np.flatnonzero(np.bincount(part.entity))
        number_of = np.zeros(int(used[-1]) + 1, np.int64)
        number_of[used] = [numbers.setdefault(part.paths[index], len(numbers)) for index in used.tolist()]
        entities.append(number_of[part.entity])
    entity = np.concatenate(entities)
    time_half = np.concatenate([part.time_half for part in parts])
    counter_half = np.concatenate([part.counter_half for part in parts])
    order = _order(entity, time_half, counter_half) if len(parts) > 1 or len(numbers) > 1 else None
    if order is not None:
        entity, time_half, counter_half = entity[order], time_half[order], counter_half[order]
    batch = _batch(shape, parts, order, time_half, counter_half)
    bounds = [0, *(np.flatnonzero(entity[1:] != entity[:-1]) + 1).tolist(), len(entity)]
    names = list(numbers)
    num_bytes = batch.nbytes  # costs as much as a chunk
    rows_of_part = min(MAX_PART_ROWS, max(1, MAX_PART_BYTES * len(entity) // num_bytes))
    digest = _digest(nonce, shape, parts)
    chunks = []
    for begin, end in pairwise(bounds):
        path = names[int(entity[begin])]
        for number, first in enumerate(range(begin, end, rows_of_part)):
            last = min(first + rows_of_part, end)
            chunk_id = _chunk_id(digest, path, number, int(time_half[first]))
            metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": path, "rerun:id": chunk_id}
            piece = batch.slice(first, last - first).replace_schema_metadata(metadata)
            size = num_bytes * (last - first) // len(entity)
            chunks.append(ChunkBatch(shape.recording, path, chunk_id, piece, size, parts[0].scope))
    return chunks


def _order(entity: Any, time_half: Any, counter_half: Any) -> Any:
    """Return what puts rows in order of entity and row id; None if they are."""
    order: Any = np.lexsort((counter_half, time_half, entity))
    return None if (order[1:] > order[:-1]).all() else order


def _batch(shape: TableShape, parts: list[TakenRows], order: Any, time_half: Any, counter_half: Any) -> Any:
    """Return all rows in one batch; `order` says which come first, None: as they are."""
    ids = np.empty((len(time_half), 2), ">u8")
    ids[:, 0] = time_half
    ids[:, 1] = counter_half
    row_ids = pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(ids)])
    fields: list[Any] = []
    columns: list[Any] = []
    stamped = [(name, kind, number) for number, (name, kind) in enumerate(shape.timelines)]
    if shape.has_log_time:
        stamped.append(("log_time", "timestamp", -1))
    for name, kind, number in sorted(stamped):
        numbers = _ordered(
            [part.clock.view(np.int64) if number < 0 else part.timelines[number] for part in parts], order
        )
        fields.append(pa.field(name, TIME_TYPES[kind], metadata={"rerun:kind": "index", "rerun:index_name": name}))
        columns.append(pa.Array.from_buffers(TIME_TYPES[kind], len(ids), [None, pa.py_buffer(numbers)]))
    for field, column in _components(shape, parts, order):
        fields.append(field)
        columns.append(column)
    return pa.RecordBatch.from_arrays([row_ids, *columns], schema=pa.schema([ROW_ID_FIELD, *fields]))


def _components(shape: TableShape, parts: list[TakenRows], order: Any) -> list[tuple[Any, Any]]:
    if shape.value_kind in TEXT_KINDS:
        found = [
            (
                _field("TextLog", "text", "Text", pa.string()),
                _lists(_taken([part.values[0] for part in parts], order), 1),
            )
        ]
        if shape.value_kind == ValueKind.LEVELLED_TEXT:
            levels = _lists(_taken([part.values[1] for part in parts], order), 1)
            found.insert(0, (_field("TextLog", "level", "TextLogLevel", pa.string()), levels))
        return found
    if shape.value_kind == ValueKind.ARRAY:
        (component,) = shape.components
        lists = _arrays([taken.values for taken in parts], component)
        lists = lists if order is None else lists.take(pa.array(order))
        return [(_field(component.archetype, component.field, component.component_type, lists.type.value_type), lists)]
    values = _ordered([part.values for part in parts], order)
    rows = len(values)
    if shape.value_kind == ValueKind.SCALARS:
        array = pa.Array.from_buffers(pa.float64(), rows, [None, pa.py_buffer(values)])
        return [(_field("Scalars", "scalars", "Scalar", pa.float64()), _lists(array, 1))]
    found = []
    begin = 0
    for component in shape.components:
        numbers = np.ascontiguousarray(values[:, begin : begin + component.width]).reshape(-1)
        begin += component.width
        items = _instances(numbers, component)
        field = _field(component.archetype, component.field, component.component_type, items.type)
        found.append((field, _lists(items, component.instances)))
    return found


def _ordered(columns: list[Any], order: Any) -> Any:
    """Return the columns of all parts as one, in order; without a copy where there is nothing to do."""
    whole = columns[0] if len(columns) == 1 else np.concatenate(columns)
    return whole if order is None else whole[order]


def _taken(arrays: list[Any], order: Any) -> Any:
    """Return the Arrow arrays of all parts as one, in order."""
    whole = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
    return whole if order is None else whole.take(pa.array(order))


def _field(archetype: str, name: str, component_type: str, item: Any) -> Any:
    metadata = {
        "rerun:kind": "data",
        "rerun:component": f"{archetype}:{name}",
        "rerun:archetype": f"rerun.archetypes.{archetype}",
        "rerun:component_type": f"rerun.components.{component_type}",
    }
    return pa.field(f"{archetype}:{name}", pa.list_(item), metadata=metadata)


def _lists(items: Any, length: int) -> Any:
    """Return lists of `length` items each."""
    offsets = np.arange(0, len(items) + 1, length, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items)


def _instances(numbers: Any, component: NumericComponent) -> Any:
    """Return the instances of a component whose bytes are `numbers`."""
    item = ITEM_TYPES[component.item]
    flat = pa.Array.from_buffers(item, len(numbers) // (item.bit_width // 8), [None, pa.py_buffer(numbers)])
    if not component.size:
        return flat
    kind = pa.list_(pa.field("item", item, nullable=False), component.size)
    return pa.Array.from_buffers(kind, len(flat) // component.size, [None], children=[flat])


def _heap(
    memory: memoryview, at: int, plan: TablePlan, ends: Any, rows: int, *, is_first: bool
) -> tuple[Any, memoryview]:
    """Return what lies in the heap between rows' `ends`, which begin with the row before, unless there is none.

    Also returns where in it each row begins and the last one ends, as int32.
    """
    bounds = np.concatenate((np.zeros(1, "<u4"), ends)) if is_first else ends
    begin, end = int(bounds[0]), int(bounds[-1])
    if len(bounds) != rows + 1 or bool((bounds[1:] < bounds[:-1]).any()) or end > plan.heap_bytes:
        raise CorruptionError("a table's rows do not lie one after the other")
    return (bounds - np.uint32(begin)).astype(np.int32), memory[at + plan.heap + begin : at + plan.heap + end]


def _texts(bounds: Any, raw: bytes) -> Any:
    array = pa.StringArray.from_buffers(len(bounds) - 1, pa.py_buffer(bounds), pa.py_buffer(raw))
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise CorruptionError(f"a table's text is no UTF-8: {error}") from error
    return array


def _instance_bounds(bounds: Any, component: NumericComponent) -> Any:
    """Return in instances what is given in bytes."""
    found, rest = np.divmod(bounds, np.int32(component.width // component.instances))
    if rest.any():
        raise CorruptionError("a row of a table ends within an instance")
    return found


def _arrays(values: list[ArrayValues], component: NumericComponent) -> Any:
    """Copy the arrays of all slots out of shared memory, one after the other, and return a list for each row."""
    raw = np.empty(sum(len(value.shared) for value in values), np.uint8)
    offsets = [np.zeros(1, np.int32)]
    at = 0
    for value in values:
        raw[at : at + len(value.shared)] = np.frombuffer(value.shared, np.uint8)
        at += len(value.shared)
        offsets.append(value.bounds[1:] + offsets[-1][-1])
    items, bounds = _instances(raw, component), np.concatenate(offsets)
    return pa.Array.from_buffers(pa.list_(items.type), len(bounds) - 1, [None, pa.py_buffer(bounds)], children=[items])


def _digest(nonce: bytes, shape: TableShape, parts: list[TakenRows]) -> bytes:
    digest = hashlib.blake2b(nonce, digest_size=16)
    digest.update(repr((shape, sorted(part.range for part in parts))).encode())
    return digest.digest()


def _chunk_id(digest: bytes, path: str, number: int, time_half: int) -> str:
    own = hashlib.blake2b(digest + f"{number}:{path}".encode(), digest_size=8).hexdigest()
    return f"chunk_{time_half:016X}{own}"
