"""Rows of table slots, copied into private memory. No Python loop runs over rows.

Every index and offset is checked in the copy. Only the numbers of arrays are left in shared memory until a chunk is
built (`table_chunks`): they need no check, and are most of the bytes. Called by the worker's main thread.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.encoding.row_layouts import NumericComponent, ValueKind
from rerun_mp.encoding.tables import WORD, TablePlan, TableShape, unpack_texts
from rerun_mp.errors import CorruptionError

__all__ = ["ArrayValues", "TakenRows", "copy_rows"]

NEAR_DICTIONARY = 2048
"""Bytes of a dictionary that are copied first."""


class ArrayValues(NamedTuple):
    """The arrays of a slot's rows."""

    bounds: Any
    """int32: where in `shared` each row begins, and the last one ends, in instances."""
    shared: memoryview
    """Bytes that are still in shared memory: any bytes are valid numbers. Only their own producer could change them."""


@dataclass(frozen=True, slots=True)
class TakenRows:
    """The rows that one sweep took from one table slot: [start, stop) of its epoch, as columns in private memory."""

    slot: int
    epoch: int
    start: int
    stop: int
    shape: TableShape
    clock: Any
    """uint64, nanoseconds."""
    time_half: Any
    """uint64: first half of each row id."""
    counter_half: Any
    """uint64: second half of each row id."""
    entity: Any
    """uint16: index into `paths`."""
    paths: list[str]
    timelines: list[Any]
    """int64 each."""
    values: Any
    """By `ValueKind`: float64; uint8 of shape (rows, width); `ArrayValues`; or a pair of texts and levels, or None."""
    num_bytes: int
    """Approximate bytes of the copy."""
    scope: int = 0
    """Scope of the producer: `config.Scope`."""

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

    `paths` is the part of the slot's dictionary that earlier calls have read; it is extended in place. `scope` is that
    of the producer.

    Raises
    ------
    CorruptionError
        If the columns contradict the plan.
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
        # Texts that have been read never change; the producer adds more.
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
    """Read the first `needed` texts of a slot's dictionary. Most slots have few, so its beginning is tried first."""
    near = min(begin + NEAR_DICTIONARY, end)
    if near < end:
        with contextlib.suppress(CorruptionError):  # the texts may reach beyond it
            return unpack_texts(memoryview(bytes(memory[begin:near])), needed)
    return unpack_texts(memoryview(bytes(memory[begin:end])), needed)


def _heap(
    memory: memoryview, at: int, plan: TablePlan, ends: Any, rows: int, *, is_first: bool
) -> tuple[Any, memoryview]:
    """Return where each row begins in the heap and the last one ends, as int32, and the heap's bytes of these rows.

    `ends` begins with the end of the row before the first one, unless `is_first`: then there is none.
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
    """Convert the bounds of rows from bytes to instances."""
    found, rest = np.divmod(bounds, np.int32(component.width // component.instances))
    if rest.any():
        raise CorruptionError("a row of a table ends within an instance")
    return found
