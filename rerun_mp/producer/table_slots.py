"""The slots into which a producer appends rows as tables: one open table for each shape.

`api.log` calls the append of an open table without a lock; see `open_table`. Everything here belongs to one producer,
and its caller holds the producer's mutex.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from rerun_mp.encoding.tables import WIDE_ROW
from rerun_mp.producer.open_table import OpenTable, plan_for
from rerun_mp.shm.layout import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rerun_mp.encoding.ids import RowIds
    from rerun_mp.encoding.tables import TableShape
    from rerun_mp.producer.claims import Claims
    from rerun_mp.producer.open_table import TableRow
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["Outcome", "TableSlots"]

MAX_TABLES = 64
"""Tables that one process keeps open."""


class Outcome(Enum):
    """What became of a row that may lie in a table."""

    COMMITTED = "committed"
    DROPPED = "dropped"
    NO_SPACE = "no space"
    NOT_A_TABLE = "not a table"
    """The row must be logged as a frame."""


class TableSlots:
    """The open tables of one producer."""

    __slots__ = ("_attend", "_claims", "_ring", "_row_ids", "_tables", "_writer")

    def __init__(self, writer: SlotWriter, claims: Claims, row_ids: RowIds, attend: Callable[[], None]) -> None:
        """Make tables whose appends call `attend` after a commit while the collector wants attention."""
        self._writer = writer
        self._ring = writer.ring
        self._claims = claims
        self._row_ids = row_ids
        self._attend = attend
        self._tables: dict[TableShape, OpenTable] = {}

    def slots(self) -> Iterable[int]:
        """Return the slots of the open tables."""
        return [table.slot for table in self._tables.values()]

    def table_of(self, shape: TableShape) -> OpenTable | None:
        """Return the open table of a shape, if there is one. Any thread may call it without the mutex."""
        return self._tables.get(shape)

    def append(self, row: TableRow) -> Outcome:
        """Append a row to the open table of its shape, or else to a new one. Never returns `DROPPED`."""
        table = self._tables.get(row.shape)
        if table is not None:
            if table.learn(row) and table.append(row.name, row.archetype, row.point):
                return Outcome.COMMITTED
            self._close(row.shape)
        return self._append_to_new(row, table)

    def seal(self) -> None:
        """Give every open table to the collector."""
        for shape in list(self._tables):
            self._close(shape)

    def invalidate(self) -> None:
        """Stop appends to the open tables in a forked child: their slots are the parent's."""
        for table in self._tables.values():
            table.invalidate()

    def _append_to_new(self, row: TableRow, former: OpenTable | None) -> Outcome:
        """Append a row to a new table, which takes over the dictionary of the former one."""
        plan = plan_for(row.shape, self._ring.geometry.slot_bytes)
        if plan is None:
            return Outcome.NOT_A_TABLE
        self._claims.mend()
        slot = self._claims.claim(Kind.TABLE, 1, maps_ahead=row.shape.width >= WIDE_ROW)
        if slot is None:
            return Outcome.NO_SPACE
        keeps_open = False
        try:
            least_time, first_counter = self._row_ids.mint(plan.capacity)
            plan = plan._replace(first_counter=first_counter, least_time=least_time)
            table = OpenTable(self._writer, slot, row.shape, plan, self._attend, former)
            if not table.learn(row):
                # The dictionary that the table has taken over may leave no room.
                table.forget()
            if not table.learn(row) or not table.append(row.name, row.archetype, row.point):
                return Outcome.NOT_A_TABLE
            keeps_open = self._ring.has_room_to_keep()
            if keeps_open:
                if len(self._tables) >= MAX_TABLES:
                    self._close(next(iter(self._tables)))
                self._tables[row.shape] = table
            else:
                table.invalidate()
            return Outcome.COMMITTED
        finally:
            if not keeps_open:
                self._writer.seal(slot)

    def _close(self, shape: TableShape) -> None:
        table = self._tables[shape]
        self._row_ids.reach(table.retire())
        # An exception before this line leaves a table that takes no rows; after it, a slot that `Claims.mend` seals.
        del self._tables[shape]
        self._writer.seal(table.slot)
