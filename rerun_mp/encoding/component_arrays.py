"""Components between Arrow arrays and the blocks of bytes that a table holds (`component_types`).

`array_of` makes an array of blocks, without a copy where Arrow's buffers have the same bytes; `blocks_of` does the
opposite. Both work on any number of rows at once. Pure functions; any thread of any process may call them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import _compute as pa_compute

from rerun_mp.encoding.component_types import BYTES_OF_NUMBERS, ComponentType, parse_type
from rerun_mp.errors import CorruptionError

__all__ = ["array_of", "arrow_type", "blocks_of", "component_field", "notation_of", "numbers", "take"]

Block = Any
"""Bytes: `bytes`, a memoryview of bytes, or an array of uint8."""

NUMBERS = {
    pa.float16(): "f2",
    pa.float32(): "f4",
    pa.float64(): "f8",
    **{getattr(pa, f"int{8 * size}")(): f"i{size}" for size in (1, 2, 4, 8)},
    **{getattr(pa, f"uint{8 * size}")(): f"u{size}" for size in (1, 2, 4, 8)},
    pa.bool_(): "b1",
    pa.string(): "s",
    pa.binary(): "z",
}
SIMPLE_TYPES = {notation: kind for kind, notation in NUMBERS.items()}
MAX_OFFSET = (1 << 31) - 1
"""Largest offset in an Arrow list."""


@lru_cache(maxsize=1024)
def arrow_type(notation: str) -> pa.DataType:
    """Return the Arrow type of a notation."""
    return _arrow_type(parse_type(notation))


@lru_cache(maxsize=1024)
def notation_of(kind: pa.DataType) -> str | None:
    """Return the notation of an Arrow type; None if a table cannot hold it."""
    try:
        notation = json.dumps(_notation(kind), ensure_ascii=True, separators=(",", ":"))
        return notation if arrow_type(notation) == kind else None
    except (ValueError, CorruptionError):
        return None


def array_of(notation: str, blocks: Sequence[Block], instances: int) -> pa.Array:
    """Return an array of `instances` instances. It points into the blocks, which begin at aligned addresses.

    Raises
    ------
    CorruptionError
        If the blocks contradict each other, or a text is no UTF-8.
    """
    return _build(parse_type(notation), iter(blocks), instances, None)


def blocks_of(notation: str, array: pa.Array) -> list[Block] | None:
    """Return the blocks of an array of this type; None if it has nulls where a table has no place for them."""
    blocks: list[Block] = []
    return blocks if _decompose(parse_type(notation), array, blocks) else None


def numbers(values: Any) -> pa.Array:
    """Return `pa.array` of a contiguous array of numbers; that function imports `numpy.ma`, which takes 0.01 s."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def take(values: Any, indices: Any) -> Any:
    """Return `values.take(indices)`; that method imports `pyarrow.compute`, which takes 0.08 s."""
    return pa_compute.call_function("take", [values, numbers(indices)], pa_compute.TakeOptions())


def _arrow_type(given: ComponentType) -> pa.DataType:
    simple = SIMPLE_TYPES.get(given.kind)
    if simple is not None:
        return simple
    if given.kind == "n":
        return pa.null()
    fields = [pa.field(field.name, _arrow_type(field.type), nullable=field.is_nullable) for field in given.fields]
    if given.kind == "union":
        return pa.dense_union(fields, type_codes=[field.code for field in given.fields])
    if given.kind == "fixed":
        return pa.list_(fields[0], given.size)
    return pa.list_(fields[0]) if given.kind == "list" else pa.struct(fields)


def _notation(kind: pa.DataType) -> Any:
    simple = NUMBERS.get(kind)
    if simple is not None:
        return simple
    if pa.types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return ["struct", [[field.name, field.nullable, _notation(field.type)] for field in fields]]
    if pa.types.is_union(kind) and kind.mode == "dense":
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return [
            "union",
            [
                [field.name, field.nullable, "n" if pa.types.is_null(field.type) else _notation(field.type), code]
                for field, code in zip(fields, kind.type_codes, strict=True)
            ],
        ]
    if pa.types.is_fixed_size_list(kind) and kind.value_field.name == "item":
        return ["fixed", kind.list_size, kind.value_field.nullable, _notation(kind.value_type)]
    if pa.types.is_list(kind) and kind.value_field.name == "item":
        return ["list", kind.value_field.nullable, _notation(kind.value_type)]
    raise ValueError(kind)


def _build(given: ComponentType, blocks: Iterator[Block], instances: int, validity: pa.Buffer | None) -> pa.Array:
    """Return an array, and take its blocks."""
    kind = given.kind
    made: pa.Array
    if kind in BYTES_OF_NUMBERS:
        data = _sized(next(blocks), instances * given.unit)
        return pa.Array.from_buffers(SIMPLE_TYPES[kind], instances, [validity, pa.py_buffer(data)])
    if kind == "b1":
        flags = np.frombuffer(_sized(next(blocks), instances), np.uint8)
        return pa.Array.from_buffers(pa.bool_(), instances, [validity, _bits(flags)])
    if kind in ("s", "z"):
        offsets, total = _offsets(next(blocks), instances)
        data = _sized(next(blocks), total)
        made = pa.Array.from_buffers(SIMPLE_TYPES[kind], instances, [validity, offsets, pa.py_buffer(data)])
        try:
            made.validate(full=True)
        except pa.ArrowInvalid as error:
            raise CorruptionError(f"a text of a component is no UTF-8: {error}") from error
        return made
    if kind == "list":
        offsets, total = _offsets(next(blocks), instances)
        items = _build(given.fields[0].type, blocks, total, None)
        return pa.Array.from_buffers(_arrow_type(given), instances, [validity, offsets], children=[items])
    if kind == "fixed":
        items = _build(given.fields[0].type, blocks, instances * given.size, None)
        return pa.Array.from_buffers(_arrow_type(given), instances, [validity], children=[items])
    if kind == "union":
        return _build_union(given, blocks, instances)
    children = []
    for field in given.fields:
        own = _bits(np.frombuffer(_sized(next(blocks), instances), np.uint8)) if field.is_nullable else None
        # A union has no place for nulls of its own.
        children.append(_build(field.type, blocks, instances, own if field.type.kind != "union" else None))
    return pa.Array.from_buffers(_arrow_type(given), instances, [validity], children=children)


def _build_union(given: ComponentType, blocks: Iterator[Block], instances: int) -> pa.Array:
    codes = np.frombuffer(_sized(next(blocks), instances), np.int8)
    offsets = np.zeros(instances, np.int32)
    children = []
    known = 0
    for field in given.fields:
        own = codes == field.code
        n = int(np.count_nonzero(own))
        known += n
        offsets[own] = np.arange(n, dtype=np.int32)
        children.append(pa.nulls(n) if field.type.kind == "n" else _build(field.type, blocks, n, None))
    if known != instances:
        raise CorruptionError(f"a component has {instances - known} instances of an unknown type")
    buffers = [None, pa.py_buffer(codes), pa.py_buffer(offsets)]
    return pa.Array.from_buffers(_arrow_type(given), instances, buffers, children=children)


def _sized(block: Block, size: int) -> Block:
    if len(block) != size:
        raise CorruptionError(f"a component has {len(block)} bytes instead of {size}")
    return block


def _bits(flags: Any) -> pa.Buffer:
    return pa.py_buffer(np.packbits(flags, bitorder="little"))


def _offsets(lengths: Block, instances: int) -> tuple[pa.Buffer, int]:
    """Return Arrow's offsets of lists of these lengths, and the number of all their items."""
    if instances == 1:
        total = int.from_bytes(_sized(lengths, 4), "little") if isinstance(lengths, bytes) else -1
        if 0 <= total <= MAX_OFFSET:
            return pa.py_buffer(struct.pack("<2i", 0, total)), total
    sizes = np.frombuffer(_sized(lengths, 4 * instances), "<u4")
    offsets = np.zeros(instances + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    total = int(offsets[-1])
    if total > MAX_OFFSET:
        raise CorruptionError(f"the lists of a component have {total} items")
    return pa.py_buffer(offsets.astype(np.int32)), total


def _decompose(given: ComponentType, array: Any, blocks: list[Block], *, may_be_null: bool = False) -> bool:
    """Append the blocks of an array. False: a table cannot hold it."""
    if array.offset or (given.kind != "union" and array.null_count and not may_be_null):
        return False
    kind, n = given.kind, len(array)
    if not n:
        blocks += [b""] * given.columns
        return True
    if kind in BYTES_OF_NUMBERS:
        blocks.append(memoryview(array.buffers()[1]).cast("B")[: n * given.unit])
        return True
    if kind == "b1":
        bits = np.frombuffer(array.buffers()[1], np.uint8)
        blocks.append(np.unpackbits(bits, count=n, bitorder="little").tobytes())
        return True
    if kind == "struct":
        for field, child in zip(given.fields, (array.field(i) for i in range(len(given.fields))), strict=True):
            if field.is_nullable:
                valid = child.is_valid() if field.type.kind != "union" and child.null_count else None
                blocks.append(b"\1" * n if valid is None else np.asarray(valid, np.uint8).tobytes())
            if not _decompose(field.type, child, blocks, may_be_null=field.is_nullable):
                return False
        return True
    if kind == "union":
        return _decompose_union(given, array, blocks)
    if kind == "fixed":
        items = array.values
        return _decompose(given.fields[0].type, items[: n * given.size], blocks)
    return _decompose_lists(given, array, blocks)


def _decompose_lists(given: ComponentType, array: Any, blocks: list[Block]) -> bool:
    n = len(array)
    buffers = array.buffers()
    if n == 1:
        begin, end = struct.unpack_from("<2i", buffers[1])
        blocks.append(struct.pack("<I", end))
    else:
        offsets = np.frombuffer(buffers[1], "<i4", n + 1)
        begin, end = int(offsets[0]), int(offsets[n])
        blocks.append((offsets[1:] - offsets[:-1]).astype("<u4").tobytes())
    if begin:
        return False
    if given.kind == "list":
        return _decompose(given.fields[0].type, array.values[:end], blocks)
    blocks.append(memoryview(buffers[2]).cast("B")[:end] if end else b"")
    return True


def _decompose_union(given: ComponentType, array: Any, blocks: list[Block]) -> bool:
    n = len(array)
    buffers = array.buffers()
    codes = np.frombuffer(buffers[1], np.int8, n)
    offsets = np.frombuffer(buffers[2], "<i4", n)
    blocks.append(codes.tobytes())
    present = set(blocks[-1])
    for i, field in enumerate(given.fields):
        if field.code not in present:
            blocks += [b""] * field.type.columns
            continue
        own = codes == field.code
        count = int(np.count_nonzero(own))
        if (offsets[own] != np.arange(count)).any():
            return False
        if field.type.kind != "n" and not _decompose(field.type, array.field(i)[:count], blocks):
            return False
    return True


def component_field(name: str, archetype: str | None, component_type: str | None, column_type: pa.DataType) -> pa.Field:
    """Return the field of a component's column, with the metadata that rerun writes."""
    metadata = {"rerun:kind": "data", "rerun:component": name}
    if archetype is not None:
        metadata["rerun:archetype"] = archetype
    if component_type is not None:
        metadata["rerun:component_type"] = component_type
    return pa.field(name, column_type, metadata=metadata)
