"""The hot loop's body: what appends one row to an open table, one function for each kind of values.

Each is a closure over the table's columns, because a local variable is the cheapest thing there is. From the look at
the count to the store of the next one there is no call and no backward jump, so that no other thread, signal handler
or fork comes in between; tests/producer/test_hot_appends.py checks that on the bytecode.

An append returns False, and has done nothing, when the table is full, sealed, of another process, or not for such an
archetype, and raises KeyError, having done nothing, when the table does not know the entity: the producer's slow path
then sees to it.

Whatever costs a call has been left out: a subscript instead of `get`, and no store for the entity of index 0, because
the column is all zeros.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from rerun_mp.encoding.tables import RowLayout
from rerun_mp.shm.layout import Header

__all__ = [
    "Append",
    "Columns",
    "append_array",
    "append_levelled_text",
    "append_number",
    "append_packed",
    "append_scalar",
    "append_text",
]

Append = Callable[[str, Any, dict[str, int]], bool]
"""(entity path as the user wrote it, archetype or number, times by timeline) -> whether the row is committed."""


class Columns(NamedTuple):
    """What every kind needs of a table."""

    words: memoryview
    count_index: int
    capacity: int
    alive: memoryview
    armed: int
    is_open: list[int]
    entities: dict[str, int]
    clock: memoryview
    entity: memoryview
    times: list[memoryview]
    """Columns of the timelines, two at most."""
    names: list[str]
    attend: Callable[[], None]
    """Called after a commit while the collector wants attention."""


def append_scalar(columns: Columns, values: memoryview) -> Append:
    """Return what appends a `Scalars` of one number."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:
        index = entities[path]
        value = archetype._value
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        clock[row] = now
        if index:
            entity[row] = index
        values[row] = value
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append


def append_number(columns: Columns, values: memoryview[float]) -> Append:
    """Return what appends a float to a table of `Scalars`. Another type might run code of the user's when stored."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, number: float, point: dict[str, int]) -> bool:
        index = entities[path]
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        clock[row] = now
        if index:
            entity[row] = index
        values[row] = number
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append


def append_text(columns: Columns, ends: memoryview, memory: memoryview, heap: int, heap_bytes: int) -> Append:
    """Return what appends a `TextLog` without a level; the text lies in the heap, from `heap` on."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:
        if archetype._level is not None:
            return False
        index = entities[path]
        text = archetype._text.encode()
        size = len(text)
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        # First whether it is still our slot: any count may stand in somebody else's.
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        begin = ends[row - 1] if row else 0
        end = begin + size
        if end > heap_bytes:
            return False
        memory[heap + begin : heap + end] = text
        ends[row] = end
        clock[row] = now
        if index:
            entity[row] = index
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append


def append_levelled_text(
    columns: Columns, ends: memoryview, memory: memoryview, heap: int, heap_bytes: int, levels: memoryview
) -> Append:
    """Return what appends a `TextLog` with a level, which is in the dictionary under its name after a newline."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:
        level = archetype._level
        if level is None:
            return False
        index = entities[path]
        level = entities["\n" + level]
        text = archetype._text.encode()
        size = len(text)
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        # First whether it is still our slot: any count may stand in somebody else's.
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        begin = ends[row - 1] if row else 0
        end = begin + size
        if end > heap_bytes:
            return False
        memory[heap + begin : heap + end] = text
        ends[row] = end
        levels[row] = level
        clock[row] = now
        if index:
            entity[row] = index
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append


def append_array(columns: Columns, ends: memoryview, memory: memoryview, heap: int, heap_bytes: int) -> Append:
    """Return what appends an archetype whose one component is an array; its numbers lie in the heap, from `heap` on."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:
        index = entities[path]
        block = archetype._buffer
        size = len(block)
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        # First whether it is still our slot: any count may stand in somebody else's.
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        begin = ends[row - 1] if row else 0
        end = begin + size
        if end > heap_bytes:
            return False
        memory[heap + begin : heap + end] = block
        ends[row] = end
        clock[row] = now
        if index:
            entity[row] = index
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append


def append_packed(columns: Columns, memory: memoryview, blocks: int, layout: RowLayout, width: int) -> Append:
    """Return what appends an archetype that has packed its components into bytes itself, as `layout` says."""
    words, count_index, capacity, alive, armed, is_open, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    has_first, has_second = len(times) > 0, len(times) > 1
    first_name, second_name = ([*names, "", ""])[:2]
    first, second = ([*times, words, words])[:2]

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:
        if archetype._row_layout != layout:
            return False
        index = entities[path]
        block = archetype._block
        here_first = point[first_name] if has_first else 0
        here_second = point[second_name] if has_second else 0
        now = time_ns()
        row = words[count_index]
        if row >= capacity or not is_open[0] or not alive[armed]:
            return False
        begin = blocks + row * width
        memory[begin : begin + width] = block
        clock[row] = now
        if index:
            entity[row] = index
        if has_first:
            first[row] = here_first
        if has_second:
            second[row] = here_second
        words[count_index] = row + 1
        if words[attention]:
            attend()
        return True

    return append
