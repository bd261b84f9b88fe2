"""Table rows to chunks: the rows that one sweep took are sorted and cut. No Python loop runs over rows.

The rows of one shape from all slots become one batch, sorted by entity and row id; each entity's rows are a chunk, cut
out of it. As for frames, ids depend on nothing but the ranges that were taken, so a sweep that is repeated gives the
same chunks. Called by the worker's main thread.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from rerun_mp.collector.drain.chunks import (
    MAX_CHUNK_BYTES,
    MAX_CHUNK_ROWS,
    ROW_ID_FIELD,
    SORBET_VERSION,
    BuiltChunks,
    ChunkBatch,
)
from rerun_mp.collector.drain.table_rows import ArrayValues, TakenRows
from rerun_mp.encoding.component_arrays import array_of, component_field, take
from rerun_mp.encoding.component_types import parse_type
from rerun_mp.encoding.row_layouts import TEXT_KINDS, ListComponent, NumericComponent, ValueKind
from rerun_mp.encoding.tables import MIN_WIDE_ROW_BYTES, TableShape

__all__ = ["build_table_chunks"]

_concat_batches: Any = getattr(pa, "concat_batches", None)
"""Copies the rows of batches into one batch; None before pyarrow 19."""

TIME_TYPES = {"sequence": pa.int64(), "timestamp": pa.timestamp("ns"), "duration": pa.duration("ns")}
ITEM_TYPES = {"f4": pa.float32(), "u1": pa.uint8()}

ROW_ID_TYPE = pa.binary(16)

FEW_ROWS = 8
"""Rows up to which the offsets of lists are remembered."""

MAX_SHARING_BYTES = 1 << 20
"""Bytes of a batch's rows whose chunks share buffers, if the chunks are small.

rerun-sdk counts a chunk that is cut out of a batch as all bytes of the batch up to the chunk's end, and lets 50 MB
wait. So its threads would hand over the chunks of a large batch one at a time.
"""
MIN_SHARING_CHUNKS = 8
"""Average number of chunks in so many bytes from which on chunks are small. Larger ones are not worth the copy."""

MAX_DICTIONARIES = 8
"""Maximum number of dictionaries that a slot's dictionary is compared with."""


def build_table_chunks(taken: Sequence[TakenRows], *, nonce: bytes) -> BuiltChunks:
    """Group and order the table rows of a sweep, and cut them into chunks.

    Parameters
    ----------
    taken
        The ranges of the sweep, in any order.
    nonce
        The segment's nonce.
    """
    by_shape: dict[tuple[TableShape, int], list[TakenRows]] = {}
    if len(taken) > 1:  # in this order the rows are mostly sorted already
        taken = sorted(taken, key=lambda rows: (rows.paths[rows.entity[0]], rows.time_half[0], rows.range))
    for rows in taken:
        by_shape.setdefault((rows.shape, rows.scope), []).append(rows)
    good: Counter[int] = Counter()
    for rows in taken:
        good[rows.slot] = rows.stop - rows.start
    chunks: list[ChunkBatch] = []
    for (shape, _), pieces in by_shape.items():
        for run in _runs(pieces) if len(pieces) > 1 and shape.width >= MIN_WIDE_ROW_BYTES else [pieces]:
            if len(run) == 1 and len(run[0].entity) == 1:
                chunks.append(_chunk_of_row(shape, run[0], nonce))
            else:
                chunks.extend(_chunks_of_shape(shape, run, nonce))
    return BuiltChunks(chunks, good, Counter())


def _runs(pieces: list[TakenRows]) -> list[list[TakenRows]]:
    """Divide the sorted pieces of one shape into runs, so that a run's rows are in order if those of its pieces are.

    If several producers log to one entity, moving wide rows costs more than a chunk for each producer.
    """
    runs: list[list[TakenRows]] = []
    for piece in pieces:
        first = (piece.time_half[0], piece.counter_half[0])
        for run in runs:
            last = run[-1]
            if last.paths[last.entity[-1]] != piece.paths[piece.entity[0]] or first > (
                last.time_half[-1],
                last.counter_half[-1],
            ):
                run.append(piece)
                break
        else:
            runs.append([piece])
    return runs


def _chunks_of_shape(shape: TableShape, pieces: list[TakenRows], nonce: bytes) -> list[ChunkBatch]:
    entity, names = _numbered(pieces)
    time_half = np.concatenate([piece.time_half for piece in pieces])
    counter_half = np.concatenate([piece.counter_half for piece in pieces])
    order = _order(entity, time_half, counter_half) if len(pieces) > 1 or len(names) > 1 else None
    if order is not None:
        entity, time_half, counter_half = entity[order], time_half[order], counter_half[order]
    batch = _batch(shape, pieces, order, time_half, counter_half, None)
    bounds = [0, *(np.flatnonzero(entity[1:] != entity[:-1]) + 1).tolist(), len(entity)]
    num_bytes = batch.nbytes  # read once: it takes as long as a chunk
    rows_of_chunk = min(MAX_CHUNK_ROWS, max(1, MAX_CHUNK_BYTES * len(entity) // num_bytes))
    digest = _digest(nonce, shape, pieces)
    cuts = [
        (number, first, min(first + rows_of_chunk, end))
        for begin, end in pairwise(bounds)
        for number, first in enumerate(range(begin, end, rows_of_chunk))
    ]
    chunks = []
    for (number, first, last), rows in zip(cuts, _cut(batch, cuts, num_bytes), strict=True):
        path = names[int(entity[first])]
        chunk_id = _chunk_id(digest, path, number, int(time_half[first]))
        size = num_bytes * (last - first) // len(entity)
        named = rows.replace_schema_metadata(_metadata(path, chunk_id))
        chunks.append(ChunkBatch(shape.recording, path, chunk_id, named, size, pieces[0].scope, is_plain=True))
    return chunks


def _chunk_of_row(shape: TableShape, piece: TakenRows, nonce: bytes) -> ChunkBatch:
    """Return the chunk of a single row, as `_chunks_of_shape` would, in fewer steps: see `table_rows`."""
    path = piece.paths[int(piece.entity[0])]
    chunk_id = _chunk_id(_digest(nonce, shape, [piece]), path, 0, int(piece.time_half[0]))
    batch = _batch(shape, [piece], None, piece.time_half, piece.counter_half, _metadata(path, chunk_id))
    return ChunkBatch(shape.recording, path, chunk_id, batch, piece.num_bytes, piece.scope, is_plain=True)


def _metadata(path: str, chunk_id: str) -> dict[str, str]:
    return {"sorbet:version": SORBET_VERSION, "rerun:entity_path": path, "rerun:id": chunk_id}


def _cut(batch: Any, cuts: list[tuple[int, int, int]], num_bytes: int) -> Iterator[Any]:
    """Yield the rows [first, last) of each cut (number, first, last) of a batch of `num_bytes`."""
    is_small = num_bytes <= MAX_SHARING_BYTES
    if is_small or len(cuts) * MAX_SHARING_BYTES < MIN_SHARING_CHUNKS * num_bytes or _concat_batches is None:
        for _, first, last in cuts:
            yield batch.slice(first, last - first)
        return
    rows_of_part = MAX_SHARING_BYTES * batch.num_rows // num_bytes
    part, begin, end = batch, 0, 0
    for _, first, last in cuts:
        if last > end:
            begin, end = first, max(last, min(first + rows_of_part, batch.num_rows))
            part = _concat_batches([batch.slice(begin, end - begin)])
        yield part.slice(first - begin, last - first)


def _numbered(pieces: list[TakenRows]) -> tuple[Any, list[str]]:
    """Return a number for each row's entity, the same one in all pieces, and the paths by number."""
    numbers: dict[str, int] = {}
    entities = []
    known: list[tuple[list[str], Any]] = []
    """Dictionaries of slots, and for each of their paths its number, or -1."""
    for piece in pieces:
        # The slots of a producer, and producers of the same kind, have the same dictionary.
        number_of = next((found for paths, found in known[-MAX_DICTIONARIES:] if paths == piece.paths), None)
        if number_of is None:
            number_of = np.full(len(piece.paths), -1, np.int64)
            known.append((piece.paths, number_of))
        # A table may know thousands of entities; the rows of one sweep name few of them.
        used = np.flatnonzero(np.bincount(piece.entity))
        new = used[number_of[used] < 0]
        number_of[new] = [numbers.setdefault(piece.paths[index], len(numbers)) for index in new.tolist()]
        entities.append(number_of[piece.entity])
    return np.concatenate(entities), list(numbers)


def _order(entity: Any, time_half: Any, counter_half: Any) -> Any:
    """Return the indices that put rows in order of entity and row id; None if they are in order."""
    # numpy counts numbers of 16 bits instead of comparing them.
    keys = entity.astype(np.uint16) if entity.max() < 1 << 16 else entity
    is_later = time_half[1:] > time_half[:-1]
    is_later |= (time_half[1:] == time_half[:-1]) & (counter_half[1:] > counter_half[:-1])
    if is_later.all():
        order: Any = keys.argsort(kind="stable")
    else:
        by_row_id = np.lexsort((counter_half, time_half))
        order = by_row_id[keys[by_row_id].argsort(kind="stable")]
    return None if (order[1:] > order[:-1]).all() else order


def _batch(
    shape: TableShape,
    pieces: list[TakenRows],
    order: Any,
    time_half: Any,
    counter_half: Any,
    metadata: dict[str, str] | None,
) -> Any:
    """Return all rows in one batch, in `order`."""
    ids = np.empty((len(time_half), 2), ">u8")
    ids[:, 0] = time_half
    ids[:, 1] = counter_half
    row_ids = pa.Array.from_buffers(ROW_ID_TYPE, len(ids), [None, pa.py_buffer(ids)])
    fields: list[Any] = []
    columns: list[Any] = []
    stamped = [(name, kind, number) for number, (name, kind) in enumerate(shape.timelines)]
    if shape.has_log_time:
        stamped.append(("log_time", "timestamp", -1))
    for name, kind, number in sorted(stamped):
        numbers = _ordered(
            [piece.clock.view(np.int64) if number < 0 else piece.timelines[number] for piece in pieces], order
        )
        fields.append(_time_field(name, kind))
        columns.append(pa.Array.from_buffers(TIME_TYPES[kind], len(ids), [None, pa.py_buffer(numbers)]))
    for field, column in _components(shape, pieces, order):
        fields.append(field)
        columns.append(column)
    schema = pa.schema([ROW_ID_FIELD, *fields], metadata)
    return pa.RecordBatch.from_arrays([row_ids, *columns], schema=schema)


@lru_cache(maxsize=1024)
def _time_field(name: str, kind: str) -> Any:
    return pa.field(name, TIME_TYPES[kind], metadata={"rerun:kind": "index", "rerun:index_name": name})


def _components(shape: TableShape, pieces: list[TakenRows], order: Any) -> list[tuple[Any, Any]]:
    if shape.value_kind in TEXT_KINDS:
        found = [
            (
                _field("TextLog", "text", "Text", pa.string()),
                _lists(_taken([piece.values[0] for piece in pieces], order), 1),
            )
        ]
        if shape.value_kind == ValueKind.LEVELLED_TEXT:
            levels = _lists(_taken([piece.values[1] for piece in pieces], order), 1)
            found.insert(0, (_field("TextLog", "level", "TextLogLevel", pa.string()), levels))
        return found
    if shape.value_kind == ValueKind.COLUMNS:
        return [
            (_list_field(component, lists.type), lists)  # type: ignore[arg-type]
            for component, lists in zip(shape.components, _list_columns(shape, pieces, order), strict=True)
        ]
    values = _ordered([piece.values for piece in pieces], order)
    rows = len(values)
    if shape.value_kind == ValueKind.SCALARS:
        array = pa.Array.from_buffers(pa.float64(), rows, [None, pa.py_buffer(values)])
        return [(SCALARS_FIELD, _lists(array, 1))]
    found = []
    begin = 0
    component: NumericComponent
    for component in shape.components:  # type: ignore[assignment]
        numbers = np.ascontiguousarray(values[:, begin : begin + component.width]).reshape(-1)
        begin += component.width
        items = _instances(numbers, component)
        field = _field(component.archetype, component.field, component.component_type, items.type)
        found.append((field, _lists(items, component.instances)))
    return found


def _ordered(columns: list[Any], order: Any) -> Any:
    """Return the columns of all pieces as one, in order; without a copy if none is needed."""
    whole = columns[0] if len(columns) == 1 else np.concatenate(columns)
    return whole if order is None else whole[order]


def _taken(arrays: list[Any], order: Any) -> Any:
    """Return the Arrow arrays of all pieces as one, in order."""
    whole = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
    return whole if order is None else take(whole, order)


def _list_field(component: ListComponent, kind: Any) -> Any:
    return component_field(component.name, component.archetype, component.component_type, kind)


def _field(archetype: str, name: str, component_type: str, item: Any) -> Any:
    """Return the field of a component of one of rerun's own archetypes."""
    types = f"rerun.archetypes.{archetype}", f"rerun.components.{component_type}"
    return component_field(f"{archetype}:{name}", *types, pa.list_(item))


SCALARS_FIELD = _field("Scalars", "scalars", "Scalar", pa.float64())


def _lists(items: Any, length: int) -> Any:
    """Return an array of lists of `length` items each."""
    rows = len(items) // length
    offsets = _few_offsets(rows, length) if rows <= FEW_ROWS else _offsets(rows, length)
    return pa.Array.from_buffers(pa.list_(items.type), rows, [None, offsets], children=[items])


def _offsets(rows: int, length: int) -> Any:
    return pa.py_buffer(np.arange(0, rows * length + 1, length, dtype=np.int32))


_few_offsets = lru_cache(maxsize=256)(_offsets)


def _instances(numbers: Any, component: NumericComponent) -> Any:
    """Return the instances of a component as an Arrow array over the bytes of `numbers`."""
    item = ITEM_TYPES[component.item]
    flat = pa.Array.from_buffers(item, len(numbers) // (item.bit_width // 8), [None, pa.py_buffer(numbers)])
    if not component.size:
        return flat
    kind = pa.list_(pa.field("item", item, nullable=False), component.size)
    return pa.Array.from_buffers(kind, len(flat) // component.size, [None], children=[flat])


def _list_columns(shape: TableShape, pieces: list[TakenRows], order: Any) -> list[Any]:
    """Return the instances of each component, with a list for each row."""
    if isinstance(pieces[0].values, ArrayValues):
        return [_arrays([piece.values for piece in pieces], order, shape.components[0].type)]  # type: ignore[union-attr]
    return [_taken([piece.values[n] for piece in pieces], order) for n in range(len(shape.components))]


def _arrays(values: list[ArrayValues], order: Any, notation: str) -> Any:
    """Copy the numbers of all slots out of shared memory into one buffer, in order, and return a list for each row."""
    sizes = np.concatenate([np.diff(value.bounds) for value in values])
    unit = parse_type(notation).unit
    raw = np.empty(int(sizes.sum(dtype=np.int64)) * unit, np.uint8)
    is_scattered = order is not None and bool(raw.size and (sizes == sizes[0]).all())
    if is_scattered:
        # Move whole rows, once. Arrow would move them instance by instance, after a copy.
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        rows = raw.reshape(len(order), -1)
    at = row = 0
    for value in values:
        piece = np.frombuffer(value.shared, np.uint8)
        if is_scattered:
            count = len(value.bounds) - 1
            rows[places[row : row + count]] = piece.reshape(count, -1)
            row += count
        else:
            raw[at : at + len(piece)] = piece
            at += len(piece)
    bounds = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=bounds[1:])
    items = array_of(notation, [raw], len(raw) // unit)
    lists = pa.Array.from_buffers(pa.list_(items.type), len(sizes), [None, pa.py_buffer(bounds)], children=[items])
    return lists if order is None or is_scattered else take(lists, order)


def _digest(nonce: bytes, shape: TableShape, pieces: list[TakenRows]) -> bytes:
    digest = hashlib.blake2b(nonce, digest_size=16)
    digest.update(f"({_name(shape)}, {sorted([piece.range for piece in pieces])!r})".encode())
    return digest.digest()


@lru_cache(maxsize=256)
def _name(shape: TableShape) -> str:
    return repr(shape)


def _chunk_id(digest: bytes, path: str, number: int, time_half: int) -> str:
    own = hashlib.blake2b(digest + f"{number}:{path}".encode(), digest_size=8).hexdigest()
    return f"chunk_{time_half:016X}{own}"
