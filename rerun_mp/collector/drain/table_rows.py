"""Rows of table slots, copied into private memory. No Python loop runs over rows.

Every index and offset is checked in the copy. Only rows of one block of numbers, such as points, are left in shared
memory until a chunk is built (`table_chunks`): any bytes are valid numbers. Called by the worker's main thread.

The one row of an idle program finds all caches cold. Each function of numpy or pyarrow that it does not reach saves it
20 to 80 us, whatever that function takes otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.encoding.component_arrays import array_of, take
from rerun_mp.encoding.component_types import BYTES_OF_NUMBERS, ComponentType, parse_type
from rerun_mp.encoding.row_layouts import ListComponent, ValueKind
from rerun_mp.encoding.tables import WORD, TablePlan, TableShape, unpack_texts
from rerun_mp.errors import CorruptionError

__all__ = ["ArrayValues", "Dictionary", "RunningClock", "TakenRows", "copy_rows", "gather"]

MIN_LARGE_BLOCK_BYTES = 256
"""Average bytes from which on blocks of different sizes are copied one by one; below, by an index of each byte."""

FIRST_DICTIONARY_BYTES = 2048
"""Bytes of a dictionary that are copied first."""

WORDS, TIMES, DOUBLES, INDICES = (np.dtype(name) for name in ("<u8", "<i8", "<f8", "<u2"))
"""Types of a table's columns."""


class ArrayValues(NamedTuple):
    """The instances of a slot's rows, of one component whose only block are numbers."""

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
    """By `ValueKind`: float64; uint8 of shape (rows, width); a pair of texts and levels, or None; or for COLUMNS
    `ArrayValues`, or a list array for each component."""
    num_bytes: int
    """Approximate bytes of the copy."""
    scope: int = 0
    """Scope of the producer: `config.Scope`."""

    @property
    def range(self) -> tuple[int, int, int, int]:
        """(slot, epoch, start, stop)."""
        return (self.slot, self.epoch, self.start, self.stop)


class Dictionary:
    """What has been read of a table slot's dictionary so far. Its texts never change; the producer adds more.

    A producer's next slot of the same shape usually begins with the dictionary of the former one. So its texts, perhaps
    thousands, are taken over from `former` if their bytes are equal. Only texts that rows refer to are taken over:
    behind them may lie old bytes, which an earlier table has left in the slot and its producer has not replaced yet.
    """

    def __init__(self, former: Dictionary | None = None) -> None:
        self.texts: list[str] = []
        """Entity paths, and levels of text."""
        self._raw = bytearray()
        self._ends: list[int] = []
        """Where each text ends in `_raw`."""
        self._former: Dictionary | None = former and (former._former or former)
        """The dictionary that this one may go on like; None: it does not, or there is no more in it."""

    def read(self, memory: memoryview, begin: int, end: int, needed: int) -> None:
        """Read on until there are `needed` texts. The dictionary lies in bytes [begin, end) of `memory`.

        Raises
        ------
        CorruptionError
            If it holds fewer, or one is damaged.
        """
        if self._former is not None and needed > len(self.texts):
            self._take_over(self._former, memory, begin, needed)
        missing = needed - len(self.texts)
        if missing <= 0:
            return
        begin += len(self._raw)
        near = min(begin + FIRST_DICTIONARY_BYTES, end)
        raw = bytes(memory[begin:near])
        try:
            texts, ends = unpack_texts(memoryview(raw), missing)
        except CorruptionError:  # the texts may reach farther
            raw = bytes(memory[begin:end])
            texts, ends = unpack_texts(memoryview(raw), missing)
        self._add(texts, [len(self._raw) + one for one in ends], raw[: ends[-1]])

    def _take_over(self, former: Dictionary, memory: memoryview, begin: int, needed: int) -> None:
        """Take over texts up to `needed` from the former dictionary if their bytes are the same here."""
        have, count = len(self._raw), min(needed, len(former.texts))
        new = slice(len(self.texts), count)
        ends = former._ends[new]
        raw = former._raw[have : ends[-1]] if ends else b""
        is_same = bytes(memory[begin + have : begin + have + len(raw)]) == raw
        if is_same:
            self._add(former.texts[new], ends, raw)
        if not is_same or count == len(former.texts):
            self._former = None

    def _add(self, texts: list[str], ends: list[int], raw: bytes | bytearray) -> None:
        self.texts += texts
        self._ends += ends
        self._raw += raw


@dataclass(slots=True)
class RunningClock:
    """The time half of the last row that was copied from a table slot."""

    stop: int = -1
    """Number of the row after it; -1: no row was copied."""
    time_half: int = 0


def copy_rows(
    memory: memoryview,
    at: int,
    slot_bytes: int,
    shape: TableShape,
    plan: TablePlan,
    rows: tuple[int, int, int, int],
    dictionary: Dictionary,
    scope: int = 0,
    clock: RunningClock | None = None,
) -> TakenRows:
    """Copy rows (slot, epoch, start, stop) of the slot that begins at byte `at` of `memory`.

    `dictionary` is the part of the slot's dictionary that earlier calls have read; it is extended in place, and `clock`
    is changed in place, too. `scope` is that of the producer.

    Raises
    ------
    CorruptionError
        If the columns contradict the plan.
    """
    slot, epoch, start, stop = rows
    if not 0 <= start < stop <= plan.capacity:
        raise CorruptionError(f"a table of {plan.capacity} rows claims rows {start} to {stop}")

    def column(offset: int, dtype: Any) -> Any:
        begin = at + offset + start * dtype.itemsize
        return np.frombuffer(bytes(memory[begin : begin + (stop - start) * dtype.itemsize]), dtype)

    clocks = column(plan.clock, WORDS)
    if clock is None or clock.stop != start:
        clock = RunningClock() if clock is None else clock
        before = np.frombuffer(bytes(memory[at + plan.clock : at + plan.clock + start * WORD]), WORDS)
        clock.time_half = max(plan.min_time, int(before.max(initial=0)))
    time_half = _running_maximum(clocks, clock.time_half)
    clock.stop, clock.time_half = stop, int(time_half[-1])
    entity = column(plan.entity, INDICES)
    values: Any
    heap_bytes = 0
    needed = int(entity[0] if stop - start == 1 else entity.max()) + 1
    if shape.value_kind == ValueKind.SCALARS:
        values = column(plan.values, DOUBLES)
    elif shape.value_kind == ValueKind.PACKED:
        begin = at + plan.values + start * shape.width
        raw = bytes(memory[begin : begin + (stop - start) * shape.width])
        values = np.frombuffer(raw, np.uint8).reshape(stop - start, shape.width)
    else:
        blocks = shape.columns
        begin = at + plan.values + 4 * max(0, start * blocks - 1)
        ends = np.frombuffer(bytes(memory[begin : at + plan.values + 4 * stop * blocks]), "<u4")
        levels = column(plan.levels, INDICES) if shape.value_kind == ValueKind.LEVELLED_TEXT else None
        if levels is not None:
            needed = max(needed, int(levels.max()) + 1)
        bounds, heap = _heap(memory, at, plan, ends, (stop - start) * blocks, is_first=start == 0)
        heap_bytes = len(heap)
        if shape.value_kind == ValueKind.COLUMNS:
            values = _components(shape, bounds, heap)
        else:
            values = (_texts(bounds, bytes(heap)), levels)
    dictionary.read(memory, at + plan.dictionary, at + slot_bytes, needed)
    if shape.value_kind == ValueKind.LEVELLED_TEXT:
        names = pa.array(dictionary.texts, pa.string())
        values = (values[0], take(names, values[1]))
    return TakenRows(
        slot=slot,
        epoch=epoch,
        start=start,
        stop=stop,
        shape=shape,
        clock=clocks,
        time_half=time_half,
        counter_half=_counters(plan.first_counter + start, stop - start),
        entity=entity,
        paths=dictionary.texts,
        timelines=[
            column(plan.timelines + number * WORD * plan.capacity, TIMES) for number in range(len(shape.timelines))
        ],
        values=values,
        num_bytes=heap_bytes + (stop - start) * (4 * WORD + max(shape.width, WORD)),
        scope=scope,
    )


def _running_maximum(clocks: Any, least: int) -> Any:
    """Return for each clock the largest one up to it, and at least `least`."""
    if len(clocks) == 1:
        return clocks if int(clocks[0]) >= least else np.frombuffer(least.to_bytes(WORD, "little"), WORDS)
    return np.maximum(np.maximum.accumulate(clocks), np.uint64(least))


def _counters(first: int, rows: int) -> Any:
    """Return as many consecutive numbers as there are rows."""
    if rows == 1:
        return np.frombuffer((first % (1 << 64)).to_bytes(WORD, "little"), WORDS)
    return np.arange(rows, dtype=np.uint64) + np.uint64(first % (1 << 64))


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


def _components(shape: TableShape, bounds: Any, heap: memoryview) -> Any:
    """Return the instances of a slot's rows. `bounds`: where each block begins in the heap, and the last one ends."""
    components: tuple[ListComponent, ...] = shape.components  # type: ignore[assignment]
    types = [parse_type(component.type) for component in components]
    if len(types) == 1 and _is_numbers(types[0]):
        return ArrayValues(_instances(bounds, types[0].unit), heap)
    raw = np.frombuffer(bytes(heap), np.uint8)
    begins = bounds[:-1].reshape(-1, shape.columns)
    sizes = (bounds[1:] - bounds[:-1]).reshape(-1, shape.columns)
    made = []
    at = 0
    for component, kind in zip(components, types, strict=True):
        counts = _instances(sizes[:, at], kind.unit)
        offsets = np.zeros(len(counts) + 1, np.int32)
        np.cumsum(counts, out=offsets[1:])
        blocks = [gather(raw, begins[:, at + n], sizes[:, at + n]) for n in range(kind.columns)]
        items = array_of(component.type, blocks, int(offsets[-1]))
        lists = pa.list_(items.type)
        made.append(pa.Array.from_buffers(lists, len(counts), [None, pa.py_buffer(offsets)], children=[items]))
        at += kind.columns
    return made


def gather(raw: Any, begins: Any, sizes: Any) -> Any:
    """Copy blocks out of an array of bytes, one after the other.

    Parameters
    ----------
    raw
        uint8.
    begins, sizes
        Of each block, in bytes; int32.
    """
    total = int(sizes.sum(dtype=np.int64))
    if total == len(raw):
        return raw  # there are no other blocks
    first = int(sizes[0])
    if (sizes == first).all():
        return np.lib.stride_tricks.sliding_window_view(raw, first)[begins].reshape(-1) if first else raw[:0]
    if total >= MIN_LARGE_BLOCK_BYTES * len(sizes):
        view = memoryview(raw)
        joined = b"".join(
            [view[begin : begin + size] for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True)]
        )
        return np.frombuffer(joined, np.uint8)
    if not ((begins | sizes) & 3).any():
        words = raw[: len(raw) & -4].view(np.uint32)
        return words.take(_indices(begins >> 2, sizes >> 2)).view(np.uint8)
    return raw.take(_indices(begins, sizes))


def _indices(begins: Any, sizes: Any) -> Any:
    """Return the index of each item of blocks."""
    ends = np.cumsum(sizes, dtype=np.int64)
    indices = np.repeat(begins - (ends - sizes), sizes)
    indices += np.arange(len(indices))
    return indices


def _is_numbers(kind: ComponentType) -> bool:
    """Return whether all instances of a type are numbers in one block."""
    return kind.kind in BYTES_OF_NUMBERS or (kind.kind == "fixed" and _is_numbers(kind.fields[0].type))


def _instances(numbers: Any, unit: int) -> Any:
    """Convert sizes or bounds from bytes to instances."""
    found, rest = np.divmod(numbers, np.int32(unit))
    if rest.any():
        raise CorruptionError("a row of a table ends within an instance")
    return found
