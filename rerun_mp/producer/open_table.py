"""The producer's side of a table slot: append a row with a handful of stores and no lock.

A table belongs to one thread, or to the producer's mutex (see `table_slots`), and only its owner appends to it. Under
the mutex any thread may close it. Closing releases the views that appends store through, so an append that is
interrupted at that moment stores nothing more and begins again elsewhere. On interpreters without a global lock (the
GIL), only the owner closes a table, because a release on another thread could overlap a store.

The producer's mutex guards everything here except the appends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any, NamedTuple

from rerun_mp.encoding.row_layouts import RowLayout, ValueKind, columns_layout
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
from rerun_mp.shm.interruptions import Mark
from rerun_mp.shm.layout import Line
from rerun_mp.shm.writer import SlotWriter

__all__ = ["OpenTable", "TableRow", "has_gil", "plan_for"]

MAX_TIMELINES = 2
"""Maximum timelines of a table. Rows with more timelines are frames."""
ZEROS = bytes(16 << 10)


def has_gil() -> bool:
    """Return whether this interpreter has a global lock, so that a view can be released on any thread."""
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

    __slots__ = (
        "_plan",
        "_views",
        "_writer",
        "append",
        "append_number",
        "entities",
        "is_closed",
        "mark",
        "shape",
        "slot",
        "texts",
    )

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
        self.mark = Mark()
        """See `hot_appends.Columns.mark`."""
        self.is_closed = False
        """Whether `close` or `invalidate` has begun."""
        self._views: list[memoryview] = []
        """The views that appends store through."""
        self._writer = writer
        self._plan = plan
        self.entities: dict[str, int] = former.entities if former is not None else {}
        """Dictionary index of each entity path as the user wrote it, and of each level with a newline before it."""
        self.texts: bytearray = former.texts if former is not None else bytearray()
        """The dictionary's bytes."""
        writer.fill(slot, 0, pack_head(shape) + pack_plan(plan))
        self._clear_entities()
        writer.fill(slot, plan.dictionary, bytes(self.texts))
        self.append, self.append_number = _make_appends(self, writer, plan, attend)
        """Append an archetype; append a bare number (None unless the table holds scalars)."""

    def _clear_entities(self) -> None:
        """Let the column of entities begin as zeros. A slot that has never been freed has only zeros."""
        ring, begin, left = self._writer.ring, self._plan.entity, ENTITY_BYTES * self._plan.capacity
        if not ring.words[ring.geometry.line_word(self.slot) + Line.EPOCH]:
            return
        while left > 0:
            # Zeros that a forked child need not make: each page of new memory costs it as much as ten calls.
            self._writer.fill(self.slot, begin, ZEROS[:left])
            begin, left = begin + len(ZEROS), left - len(ZEROS)

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

    def close(self) -> int:
        """Stop appends for good, before the slot is sealed. Returns the greatest clock value of the rows, in ns."""
        self.invalidate()
        ring = self._writer.ring
        begin = ring.geometry.slot_offset(self.slot) + self._plan.clock
        rows = ring.words[ring.count_word(self.slot)]
        return _greatest(bytes(ring.memory[begin : begin + 8 * rows]))

    def invalidate(self) -> None:
        """Release the views. An append that is in progress, on any thread with the GIL, raises at its next store."""
        self.is_closed = True
        for view in self._views:
            view.release()

    def view(self, begin: int, size: int, code: str = "B") -> Any:
        """Return a view of `size` bytes of the slot, from byte `begin` on, that `invalidate` releases."""
        begin += self._writer.ring.geometry.slot_offset(self.slot)
        made = self._writer.ring.memory[begin : begin + size].cast(code)  # type: ignore[call-overload]
        self._views.append(made)
        return made

    def view_of_count(self) -> memoryview:
        """Return a view of the slot's count that `invalidate` releases."""
        index = self._writer.ring.count_word(self.slot)
        made = self._writer.ring.words[index : index + 1]
        self._views.append(made)
        return made

    @property
    def is_marked(self) -> bool:
        """Whether an append is in progress, or an exception has ended one."""
        return self.mark.is_set

    @property
    def codes(self) -> set[CodeType]:
        """The code of this table's appends."""
        return {append.__code__ for append in (self.append, self.append_number) if append is not None}

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
    if len(shape.timelines) > MAX_TIMELINES:
        return None
    return plan_table(shape, len(pack_head(shape)), slot_bytes, 0, 0)


def _make_appends(
    table: OpenTable,
    writer: SlotWriter,
    plan: TablePlan,
    attend: Callable[[], None],
) -> tuple[Append, Append | None]:
    """Return the functions that append an archetype and a bare number to a table."""
    ring, capacity = writer.ring, plan.capacity

    def column(offset: int, size: int, code: str, number: int = 0) -> Any:
        return table.view(offset + number * size * capacity, size * capacity, code)

    names = [name for name, _ in table.shape.timelines]
    columns = Columns(
        count_view=table.view_of_count(),
        words=ring.words,
        capacity=capacity,
        alive=writer.alive,
        armed=writer.armed,
        mark=table.mark,
        entities=table.entities,
        clock=column(plan.clock, 8, "Q"),
        entity=column(plan.entity, 2, "H"),
        times=[column(plan.timelines, 8, "q", number) for number in range(len(names))],
        names=names,
        attend=attend,
    )
    kind = table.shape.value_kind

    def make(name: str, *arguments: Any, blocks: int = 0) -> Append:
        return factory(name, len(names), blocks)(columns, *arguments)

    if kind == ValueKind.SCALARS:
        values = column(plan.values, 8, "d")
        return make("append_scalar", values), make("append_number", values)
    if kind == ValueKind.PACKED:
        packed, width = RowLayout(kind, table.shape.components), table.shape.width
        return make("append_packed", table.view(plan.values, width * capacity), packed, width), None
    blocks = table.shape.columns
    heap = (column(plan.values, 4 * blocks, "I"), table.view(plan.heap, plan.heap_bytes), plan.heap_bytes)
    if kind == ValueKind.LEVELLED_TEXT:
        return make("append_levelled_text", *heap, column(plan.levels, 2, "H")), None
    if kind == ValueKind.COLUMNS:
        layout = columns_layout(table.shape.components)  # type: ignore[arg-type]
        return make("append_columns", *heap, layout, blocks=blocks), None
    return make("append_text", *heap), None
