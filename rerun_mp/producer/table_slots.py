"""The slots into which a producer appends rows as tables, and the owner of each table.

A table belongs to one thread, which appends to it without a lock (`hot_appends`), or to the producer's mutex, under
which any thread appends to it. The first thread that logs rows of a shape owns a table at once. Any other thread shares
a table under the mutex until it has logged `MIN_ROWS_FOR_OWN` rows of the shape, so that a program that starts a thread
for each task does not take a slot for each. The tables of a thread that has ended become shared ones, or are sealed.

Everything here belongs to one producer, and its caller holds the producer's mutex.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from rerun_mp.encoding.tables import MIN_WIDE_ROW_BYTES, TablePlan
from rerun_mp.producer.open_table import OpenTable, has_gil, plan_for
from rerun_mp.shm import kernel
from rerun_mp.shm.interruptions import is_own, is_running
from rerun_mp.shm.layout import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from rerun_mp.encoding.ids import RowIds
    from rerun_mp.encoding.tables import TableShape
    from rerun_mp.producer.claims import Claims
    from rerun_mp.producer.open_table import TableRow
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["Outcome", "TableSlots"]

MAX_TABLES = 128
"""Maximum tables that one process keeps open; beyond it, the oldest shared table is sealed, and threads share."""
MIN_ROWS_FOR_OWN = 16
"""Rows of a shape after which a thread gets a table of its own."""
MAX_SHAPES_COUNTED = 1024
"""Maximum number of shapes for which one thread counts rows. Beyond it, the thread clears its counts."""


STOP_SECS = 1.0
"""Seconds to wait until other threads have ended their appends, on interpreters without a global lock."""


class Outcome(Enum):
    """What became of a row that may lie in a table."""

    COMMITTED = "committed"
    DROPPED = "dropped"
    NO_SPACE = "no space"
    NOT_A_TABLE = "not a table"
    """The row must be logged as a frame."""


class Owner:
    """A thread, or the mutex, and the open tables that it owns."""

    __slots__ = ("rows", "tables")

    def __init__(self) -> None:
        self.tables: dict[TableShape, OpenTable] = {}
        self.rows: dict[TableShape, int] = {}
        """Rows that the thread has logged of each shape of which it owns no table."""


class _ThreadEnd:
    """Lies in a thread's local storage, and reports the owner when the thread has ended."""

    __slots__ = ("_ended", "owner")

    def __init__(self, owner: Owner, ended: deque[Owner]) -> None:
        self._ended = ended
        self.owner = owner

    def __del__(self) -> None:
        try:
            self._ended.append(self.owner)  # one step, because this may interrupt any code
        except AttributeError as error:
            if not is_own(error):
                raise
            # Otherwise a signal handler's exception has ended `__init__`, and no thread has this object.


class TableSlots:
    """The open tables of one producer."""

    __slots__ = (
        "_attend",
        "_claims",
        "_ended",
        "_is_off",
        "_local",
        "_owners",
        "_ring",
        "_row_ids",
        "_shared",
        "_writer",
    )

    def __init__(
        self,
        writer: SlotWriter,
        claims: Claims,
        row_ids: RowIds,
        attend: Callable[[], None],
        *,
        is_off: bool = False,
    ) -> None:
        """Make tables whose appends call `attend` after a commit while the collector wants attention.

        `is_off`: make none, because an append to a table has no place for a fence.
        """
        self._is_off = is_off
        self._writer = writer
        self._ring = writer.ring
        self._claims = claims
        self._row_ids = row_ids
        self._attend = attend
        self._shared = Owner()
        """The mutex."""
        self._owners: list[Owner] = [self._shared]
        """The mutex and each thread that has logged, until `_adopt_ended` removes an ended one."""
        self._local = threading.local()
        self._ended: deque[Owner] = deque()
        """Threads that have ended, until `_adopt_ended`."""

    def slots(self) -> Iterable[int]:
        """Return the slots of the open tables."""
        return [table.slot for table in self._all()]

    def table_of(self, shape: TableShape) -> OpenTable | None:
        """Return the table of a shape that the calling thread owns, if there is one."""
        return self._calling_owner().tables.get(shape)

    def append(self, row: TableRow) -> Outcome:
        """Append a row to the open table of its shape, or else to a new one. Never returns `DROPPED`."""
        if self._is_off or time.time_ns() < 0:
            return Outcome.NOT_A_TABLE  # a clock column holds no time before 1970
        self._adopt_ended()
        owner = self._owner_for(row.shape)
        table = owner.tables.get(row.shape)
        if table is not None and table.is_closed:
            self._close(owner, row.shape)  # once more: an exception has ended the close before
            table = None
        if table is not None:
            if table.is_marked and is_running(table.codes, lambda frame: _appends_to(frame, table)):
                return self.append_alone(row)
            table.mark.free = True
            if table.learn(row) and table.append(row.name, row.archetype, row.point):
                return Outcome.COMMITTED
            self._close(owner, row.shape)
        return self._append_to_new(owner, row, table)

    def append_alone(self, row: TableRow) -> Outcome:
        """Append a row to a table of its own, which is sealed at once: no other call's state is touched.

        A call that interrupts another one uses this. A frame would need the encoder, and the interrupted call may be
        importing it just now.
        """
        plan = None if self._is_off or time.time_ns() < 0 else plan_for(row.shape, self._ring.geometry.slot_bytes)
        if plan is None:
            return Outcome.NOT_A_TABLE
        slot = self._claims.claim(Kind.TABLE, 1, maps_ahead=row.shape.width >= MIN_WIDE_ROW_BYTES)
        if slot is None:
            return Outcome.NO_SPACE
        try:
            return Outcome.NOT_A_TABLE if self._begin_table(row, slot, plan, None) is None else Outcome.COMMITTED
        finally:
            self._writer.seal(slot)

    def seal(self) -> None:
        """Give the open tables to the collector. Without the GIL, only those that no other thread owns."""
        self._adopt_ended()
        may_close_all = has_gil()
        for owner in tuple(self._owners):
            if may_close_all or owner is self._shared or owner is self._calling_owner():
                for shape in list(owner.tables):
                    self._close(owner, shape)

    def invalidate(self) -> None:
        """Stop appends to the open tables in a forked child: their slots are the parent's."""
        for table in self._all():
            table.invalidate()

    def stop_other_threads(self) -> bool:
        """Stop the appends of other threads where no lock of the interpreter separates them. False: one still runs.

        An append sets its mark before it reads the fork guard, and this clears the guard before it reads the marks. The
        barrier in between keeps each of the two from seeing the other's old value.
        """
        self._writer.alive[self._writer.armed] = 0
        kernel.barrier_for_own_threads()
        deadline = time.monotonic() + STOP_SECS
        while self._runs_elsewhere():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
        return True

    def _runs_elsewhere(self) -> bool:
        """Return whether an append may be in progress on another thread."""
        others = [owner for owner in self._owners if owner is not self._shared and owner is not self._calling_owner()]
        return any(table.is_marked for owner in others for table in list(owner.tables.values()))

    def _all(self) -> list[OpenTable]:
        return [table for owner in tuple(self._owners) for table in list(owner.tables.values())]

    def _calling_owner(self) -> Owner:
        """Return the calling thread as an owner."""
        end: _ThreadEnd | None = getattr(self._local, "end", None)
        if end is not None:
            return end.owner
        owner = Owner()
        self._owners.append(owner)
        self._local.end = _ThreadEnd(owner, self._ended)
        return owner

    def _owner_for(self, shape: TableShape) -> Owner:
        """Return the owner to whose table the calling thread appends a row of a shape."""
        mine = self._calling_owner()
        if shape in mine.tables:
            return mine
        rows = mine.rows
        if len(rows) >= MAX_SHAPES_COUNTED:
            rows.clear()
        rows[shape] = rows.get(shape, 0) + 1
        tables = self._all()
        if not tables or not any(table.shape == shape for table in tables):
            return mine
        may_own = rows[shape] > MIN_ROWS_FOR_OWN and len(tables) < MAX_TABLES
        return mine if may_own and self._ring.has_room_to_keep() else self._shared

    def _append_to_new(self, owner: Owner, row: TableRow, former: OpenTable | None) -> Outcome:
        """Append a row to a new table of `owner`, which takes over the dictionary of the former one."""
        plan = plan_for(row.shape, self._ring.geometry.slot_bytes)
        if plan is None:
            return Outcome.NOT_A_TABLE
        self._claims.repair()
        slot = self._claims.claim(Kind.TABLE, 1, maps_ahead=row.shape.width >= MIN_WIDE_ROW_BYTES)
        if slot is None:
            return Outcome.NO_SPACE
        keeps_open = False
        try:
            table = self._begin_table(row, slot, plan, former)
            if table is None:
                return Outcome.NOT_A_TABLE
            keeps_open = self._ring.has_room_to_keep()
            if keeps_open:
                if len(self._all()) >= MAX_TABLES:
                    self._close_oldest()
                owner.tables[row.shape] = table
            else:
                table.invalidate()
            return Outcome.COMMITTED
        finally:
            if not keeps_open:
                self._writer.seal(slot)

    def _begin_table(self, row: TableRow, slot: int, plan: TablePlan, former: OpenTable | None) -> OpenTable | None:
        """Make a table in a newly claimed slot, and append its first row. None: the table has no room for it."""
        min_time, first_counter = self._row_ids.mint(plan.capacity)
        plan = TablePlan(*plan[:-2], first_counter, min_time)
        table = OpenTable(self._writer, slot, row.shape, plan, self._attend, former)
        if not table.learn(row):
            # The dictionary that the table has taken over may leave no room.
            table.forget()
        return table if table.learn(row) and table.append(row.name, row.archetype, row.point) else None

    def _close_oldest(self) -> None:
        """Close the oldest shared table, or else the calling thread's oldest."""
        for owner in (self._shared, self._calling_owner()):
            if owner.tables:
                self._close(owner, next(iter(owner.tables)))
                return

    def _close(self, owner: Owner, shape: TableShape) -> None:
        table = owner.tables[shape]
        self._row_ids.reach(table.close())
        # An exception before this line leaves a closed table; after it, a slot that `Claims.repair` seals.
        del owner.tables[shape]
        self._writer.seal(table.slot)

    def _adopt_ended(self) -> None:
        """Give the tables of ended threads to the mutex, or close those of shapes that it owns already."""
        while self._ended:
            ended = self._ended[0]
            for shape in list(ended.tables):
                if shape in self._shared.tables:
                    self._close(ended, shape)
                else:
                    self._shared.tables[shape] = ended.tables[shape]
                    del ended.tables[shape]
            self._owners[:] = [owner for owner in self._owners if owner is not ended]
            self._ended.popleft()


def _appends_to(frame: FrameType, table: OpenTable) -> bool:
    """Return whether a frame of an append belongs to a table."""
    return frame.f_locals.get("mark") is table.mark
