"""The body of the hot loop: functions that append one row to an open table.

`TEMPLATE` is the one append. `VARIANTS` states what each kind of values adds to it, and `factory` compiles a function
for a kind and a number of timelines at the first use. Each append is a closure over the table's columns, because a
local variable is the cheapest name to look up.

An append runs on the one thread that owns its table, but anything can run in the middle of it: a signal handler, a
`__del__` method, a trace function, a greenlet, a fork. Three rules make it safe, whatever the interpreter does:

- The append sets the table's mark before its first store and clears it after the last. The instruction that sets it
  fails if it is set already: then a nested call of the same thread, or another greenlet, returns False, having stored
  nothing. If an exception ends the append, the mark stays, and the slow path decides whether the append still runs
  (`interruptions.is_running`).
- Everything that an append stores goes through views of its own. To close a table, in a forked child too, its owner
  releases them: an append that was interrupted anywhere raises ValueError at its next store.
- The count is stored last, by one aligned 8-byte store. A row that an append did not finish does not exist.

An append returns False if the table is full or inherited from the parent, if the row is for another layout, or if it
is nested. It raises KeyError if the table does not know the entity, and ValueError if the table is closed or the clock
shows a time before 1970. In each of these cases it has committed nothing, and the producer's slow path takes the row.

The code leaves out whatever costs a call or a store: it subscripts instead of calling `get`, and it stores no entity
index 0, because that column begins as zeros.
"""

from __future__ import annotations

import linecache
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from rerun_mp.shm.interruptions import Mark, is_own
from rerun_mp.shm.layout import Header

__all__ = ["VARIANTS", "Append", "Columns", "compile_usual", "factory"]

Append = Callable[[str, Any, dict[str, int]], bool]
"""(entity path as the user wrote it, archetype or number, times by timeline) -> whether the row is committed."""


class Columns(NamedTuple):
    """The parts of a table that every variant needs."""

    count_view: memoryview
    """The slot's count, one word."""
    words: memoryview
    """The segment's words, for reading the attention word. Never stored into."""
    capacity: int
    alive: memoryview
    armed: int
    mark: Mark
    """Set while the owner's thread is in the middle of an append."""
    entities: dict[str, int]
    clock: memoryview
    entity: memoryview
    times: list[memoryview]
    """One column for each timeline."""
    names: list[str]
    attend: Callable[[], None]
    """Called after a commit while the collector wants attention."""


class Variant(NamedTuple):
    """The lines that one kind of values adds to `TEMPLATE`."""

    parameters: str
    """The factory's parameters after `columns`."""
    read: tuple[str, ...]
    """Take the values from the argument `logged`."""
    store: tuple[str, ...]
    """Store the values in row `row`."""
    refuse: str = ""
    """Condition under which a row belongs to another table, if there is one."""


TEMPLATE = """\
def NAME(columns, PARAMETERS):
    count, words, capacity, alive, armed, mark, entities, clock, entity, times, names, attend = columns
    time_ns, attention = time.time_ns, Header.ATTENTION
    UNPACK_TIMELINES

    def append(path, logged, point):
        REFUSE
        index = entities[path]
        READ
        READ_TIMES
        now = time_ns()
        try:
            del mark.free
        except AttributeError as error:
            if not is_own(error):
                raise
            return False
        row = count[0]
        if row >= capacity or not alive[armed]:
            mark.free = True
            return False
        STORE
        clock[row] = now
        if index:
            entity[row] = index
        STORE_TIMES
        count[0] = row + 1
        mark.free = True
        if words[attention]:
            attend()
        return True

    return append
"""

STORE_IN_HEAP = (
    "begin = ends[row - 1] if row else 0",
    "end = begin + size",
    "if end > heap_bytes:",
    "    mark.free = True",
    "    return False",
    "heap[begin:end] = block",
    "ends[row] = end",
)

VARIANTS = {
    # `Scalars` of one number.
    "append_scalar": Variant("values", ("value = logged._value",), ("values[row] = value",)),
    # A bare float. Another type could run the user's code in the store.
    "append_number": Variant("values", (), ("values[row] = logged",)),
    # `TextLog` without a level.
    "append_text": Variant(
        "ends, heap, heap_bytes",
        ("block = logged._text.encode()", "size = len(block)"),
        STORE_IN_HEAP,
        refuse="logged._level is not None",
    ),
    # `TextLog` with a level. The dictionary holds the level under its name after a newline.
    "append_levelled_text": Variant(
        "ends, heap, heap_bytes, levels",
        ('level = entities["\\n" + logged._level]', "block = logged._text.encode()", "size = len(block)"),
        (*STORE_IN_HEAP, "levels[row] = level"),
        refuse="logged._level is None",
    ),
    # An archetype that has encoded its components as blocks. The template's lines for each block are in `_columns`.
    "append_columns": Variant(
        "ends, heap, heap_bytes, layout", ("blocks = logged._blocks",), (), refuse="logged._layout is not layout"
    ),
    # An archetype that has packed its components into one block of `width` bytes.
    "append_packed": Variant(
        "blocks, layout, width",
        ("block = logged._block",),
        ("begin = row * width", "blocks[begin : begin + width] = block"),
        refuse="logged._row_layout != layout",
    ),
}
"""By the name of the factory."""


@cache
def factory(name: str, timelines: int, columns: int = 0) -> Callable[..., Append]:
    """Return the function that makes appends of a variant, for tables with a number of timelines.

    It takes the `Columns` of a table and the variant's own parameters. `columns` is the number of blocks that
    "append_columns" stores for each row.
    """
    source = _source(name, timelines, columns)
    # A file name of this package, so that tracebacks show the line and tracing tests see the package's code.
    blocks = f", blocks: {columns}" if columns else ""
    path = os.path.join(os.path.dirname(__file__), f"<{name}, timelines: {timelines}{blocks}>")
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    namespace: dict[str, Any] = {"__name__": __name__, "time": time, "Header": Header, "is_own": is_own}
    exec(compile(source, path, "exec", dont_inherit=True), namespace)
    made: Callable[..., Append] = namespace[name]
    return made


def compile_usual() -> None:
    """Compile the appends of numbers, so that no forked child needs to: that takes as long as half its first call."""
    for name in ("append_scalar", "append_number"):
        for timelines in (0, 1):
            factory(name, timelines, 0)  # as callers write it: the cache tells the forms of a call apart


def _columns(variant: Variant, columns: int) -> Variant:
    """Add the lines that store a row's blocks one after the other, and the end of each."""
    names = ", ".join(f"block_{n}" for n in range(columns))
    read = [*variant.read, f"{names}, = blocks", *(f"size_{n} = len(block_{n})" for n in range(columns))]
    store = [f"first = row * {columns}" if columns > 1 else "first = row", "begin = ends[first - 1] if row else 0"]
    store += [f"end_{n} = {f'end_{n - 1}' if n else 'begin'} + size_{n}" for n in range(columns)]
    store += [f"if end_{columns - 1} > heap_bytes:", "    mark.free = True", "    return False"]
    for n in range(columns):
        store.append(f"heap[{f'end_{n - 1}' if n else 'begin'}:end_{n}] = block_{n}")
        store.append(f"ends[first{f' + {n}' if n else ''}] = end_{n}")
    return variant._replace(read=tuple(read), store=tuple(store))


def _source(name: str, timelines: int, columns: int) -> str:
    """Return the source of a factory: the template, with the variant's lines in the places of the capital words."""
    variant, numbers = VARIANTS[name], range(timelines)
    if columns:
        variant = _columns(variant, columns)
    blocks = {
        "UNPACK_TIMELINES": [f"name_{n}, column_{n} = names[{n}], times[{n}]" for n in numbers],
        "REFUSE": [f"if {variant.refuse}:", "    return False"] if variant.refuse else [],
        "READ": variant.read,
        "READ_TIMES": [f"time_{n} = point[name_{n}]" for n in numbers],
        "STORE": variant.store,
        "STORE_TIMES": [f"column_{n}[row] = time_{n}" for n in numbers],
    }
    lines: list[str] = []
    for line in TEMPLATE.splitlines():
        place = line.lstrip()
        if place in blocks:
            lines += [line.removesuffix(place) + part for part in blocks[place]]
        else:
            lines.append(line.replace("NAME", name).replace("PARAMETERS", variant.parameters))
    return "\n".join(lines) + "\n"
