"""The producer's side of a table slot: append a row with a handful of stores and no lock.

Under the interpreter's lock (the GIL), threads and signal handlers take turns only at calls and backward jumps. Between
the read of the count and the store of the next count an append has neither (tests/producer/test_hot_appends.py checks
the bytecode). So appends of different threads, and of a handler that interrupts one, never overlap, without a mutex.
The producer clears `is_open` before it seals the slot: an append that found it set has committed by then.

A forked child finds the table closed: the fork hook of its session closes it, and after a fork in C the fork guard's
byte is 0. Interpreters without the GIL use frames only (`is_possible`).

The producer's mutex guards everything here except the appends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from rerun_mp.encoding.row_layouts import RowLayout, ValueKind
from rerun_mp.encoding.tables import (
    ENTITY_BYTES,
    MAX_ENTITIES,
    TablePlan,
    TableShape,
    pack_head,
    pack_plan,
    pack_text,
    plan_table,
)
from rerun_mp.producer.hot_appends import Append, Columns, factory
from rerun_mp.shm.writer import SlotWriter

__all__ = ["OpenTable", "TableRow", "is_possible", "plan_for"]

MAX_TIMELINES = 2
"""Maximum timelines of a table. Rows with more timelines are frames."""


def is_possible() -> bool:
    """Say whether this interpreter has the lock that tables rely on."""
    return getattr(sys, "_is_gil_enabled", lambda: True)()


class TableRow(NamedTuple):
    """The arguments of one `log` call that may go into a table."""

    shape: TableShape
    name: str
    """The entity path as the user wrote it."""
    path: bytes
    """The canonical entity path."""
    archetype: Any
    point: dict[str, int]
    """The thread's times by timeline."""


class OpenTable:
    """A table that this process appends to."""

    __slots__ = ("_plan", "_writer", "append", "append_number", "entities", "is_open", "shape", "slot", "texts")

    def __init__(
        self,
        writer: SlotWriter,
        slot: int,
        shape: TableShape,
        plan: TablePlan,
        attend: Callable[[], None],
        former: OpenTable | None,
    ) -> None:
        """Write the head of a newly claimed slot, and take over the dictionary of the former table of this shape.

        Raises
        ------
        ForkedError
            In a process forked since the producer registered.
        """
        self.shape = shape
        self.slot = slot
        self.is_open = [1]
        self._writer = writer
        self._plan = plan
        self.entities: dict[str, int] = former.entities if former is not None else {}
        """Dictionary index of each entity path as the user wrote it, and of each level with a newline before it."""
        self.texts: bytearray = former.texts if former is not None else bytearray()
        """The dictionary's bytes."""
        writer.fill(slot, 0, pack_head(shape) + pack_plan(plan))
        writer.fill(slot, plan.entity, bytes(ENTITY_BYTES * plan.capacity))
        writer.fill(slot, plan.dictionary, bytes(self.texts))
        self.append, self.append_number = _make_appends(self, writer, plan, attend)
        """Append an archetype; append a bare number (None unless the table holds scalars)."""

    def add(self, name: str, text: bytes) -> bool:
        """Add `text` to the dictionary, under the key `name`. False: the dictionary is full."""
        entry = pack_text(text)
        begin = self._plan.dictionary + len(self.texts)
        index = len(self.entities)
        if index >= MAX_ENTITIES or begin + len(entry) > self._writer.ring.geometry.slot_bytes:
            return False
        self._writer.fill(self.slot, begin, entry)
        self.texts += entry
        self.entities[name] = index
        return True

    def retire(self) -> int:
        """Stop appends before the slot is sealed. Returns the greatest clock value of the rows, in ns."""
        self.is_open[0] = 0
        ring = self._writer.ring
        begin = ring.geometry.slot_offset(self.slot) + self._plan.clock
        rows = ring.words[ring.count_word(self.slot)]
        return _greatest(bytes(ring.memory[begin : begin + 8 * rows]))

    def invalidate(self) -> None:
        """Stop appends in a forked child: the slot is the parent's."""
        self.is_open[0] = 0

    def learn(self, row: TableRow) -> bool:
        """Add the row's entity and level to the dictionary if they are new. False: the dictionary is full."""
        if row.name not in self.entities and not self.add(row.name, row.path):
            return False
        if self.shape.value_kind != ValueKind.LEVELLED_TEXT:
            return True
        level: str = row.archetype._level
        return "\n" + level in self.entities or self.add("\n" + level, level.encode())

    def forget(self) -> None:
        """Empty the dictionary. The table must not have rows yet."""
        self.entities.clear()
        self.texts.clear()


def _greatest(words: bytes) -> int:
    """Return the greatest of unsigned 8-byte words; 0 if there are none."""
    # One call looks at thousands of rows. A Python loop here would make each row 5 % dearer on average.
    frombuffer = getattr(sys.modules.get("numpy"), "frombuffer", None)
    if frombuffer is None or not words:
        return max(memoryview(words).cast("Q"), default=0)
    return int(frombuffer(words, "<u8").max())


@lru_cache(maxsize=256)
def plan_for(shape: TableShape, slot_bytes: int) -> TablePlan | None:
    """Return the plan of a slot for tables of `shape`, without row ids. None: rows of this shape are frames."""
    if len(shape.timelines) > MAX_TIMELINES or not is_possible():
        return None
    return plan_table(shape, len(pack_head(shape)), slot_bytes, 0, 0)


def _make_appends(
    table: OpenTable,
    writer: SlotWriter,
    plan: TablePlan,
    attend: Callable[[], None],
) -> tuple[Append, Append | None]:
    """Return the functions that append an archetype and a bare number to a table."""
    ring = writer.ring
    base, memory = ring.geometry.slot_offset(table.slot), ring.memory

    def column(offset: int, size: int, code: str, number: int = 0) -> Any:
        begin = base + offset + number * size * plan.capacity
        return memory[begin : begin + size * plan.capacity].cast(code)  # type: ignore[call-overload]

    names = [name for name, _ in table.shape.timelines]
    columns = Columns(
        words=ring.words,
        count_index=ring.count_word(table.slot),
        capacity=plan.capacity,
        alive=writer.alive,
        armed=writer.armed,
        is_open=table.is_open,
        entities=table.entities,
        clock=column(plan.clock, 8, "Q"),
        entity=column(plan.entity, 2, "H"),
        times=[column(plan.timelines, 8, "q", number) for number in range(len(names))],
        names=names,
        attend=attend,
    )
    kind = table.shape.value_kind

    def make(name: str, *arguments: Any) -> Append:
        return factory(name, len(names))(columns, *arguments)

    if kind == ValueKind.SCALARS:
        values = column(plan.values, 8, "d")
        return make("append_scalar", values), make("append_number", values)
    if kind == ValueKind.PACKED:
        layout = RowLayout(kind, table.shape.components)
        return make("append_packed", memory, base + plan.values, layout, table.shape.width), None
    heap = (column(plan.values, 4, "I"), memory, base + plan.heap, plan.heap_bytes)
    if kind == ValueKind.LEVELLED_TEXT:
        return make("append_levelled_text", *heap, column(plan.levels, 2, "H")), None
    return make("append_array" if kind == ValueKind.ARRAY else "append_text", *heap), None
