"""The writing side of one process: a row whose `append` returned lies below a count in shared memory.

A process has one producer, and a forked child has another. `Producer` holds the mutex, runs the loop that waits for
space, and answers the collector. Its parts do the rest: `FrameSlot` and `TableSlots` append rows, `Oversize` appends
messages that no slot holds, `Claims` gets slots, and `FullRing` applies the policy.

The mutex guards the open slots, the spares and the row ids. A producer never holds it while it waits for space. A call
that finds the mutex held by its own thread (a signal handler or `__del__` in the middle of another call), or that runs
while the interpreter finalises, uses a slot of its own: claimed, written, sealed.

Each call reads from shared memory what is committed; the producer does not remember it. So an exception between the
commit and the end of a call cannot make the two disagree.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeVar

from rerun_mp.encoding.ids import RowIds
from rerun_mp.hooks import pausing
from rerun_mp.producer.claims import Claims
from rerun_mp.producer.frame_slot import FrameSlot
from rerun_mp.producer.full_ring import FullRing
from rerun_mp.producer.open_table import has_gil
from rerun_mp.producer.oversize import Oversize
from rerun_mp.producer.registration import Registration
from rerun_mp.producer.repeated_blobs import BlobAppend, BlobParts
from rerun_mp.producer.table_slots import Outcome, TableSlots
from rerun_mp.shm import introductions, ordering
from rerun_mp.shm.interruptions import Mark, is_own
from rerun_mp.shm.layout import Attention, Header, ProducerWord
from rerun_mp.shm.writer import SlotWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rerun_mp.encoding.encoder import BlobTemplate
    from rerun_mp.encoding.frames import Rows
    from rerun_mp.encoding.tables import TableShape
    from rerun_mp.producer.open_table import OpenTable, TableRow
    from rerun_mp.shm.doorbell import Ringer
    from rerun_mp.shm.leases import ForkGuard
    from rerun_mp.shm.segment import Segment

__all__ = ["Producer"]

Result = TypeVar("Result")

CHECK_SECS = 1.0
"""Seconds between two checks that a collector lives."""
MAX_BLOB_APPENDS = 256
"""Upper bound of cached blob appends; the cache is cleared beyond it."""


class Producer:
    """The writing side of one process."""

    def __init__(
        self,
        segment: Segment,
        guard: ForkGuard,
        ringer: Ringer,
        wait_for_space: Callable[[int], None],
        watch_collector: Callable[[], None],
        *,
        wait_for_entry: Callable[[int], None] | None = None,
        scope: int = 0,
    ) -> None:
        """Register in the producers table.

        Parameters
        ----------
        segment
            The session's segment.
        guard
            The process's fork guard; the producer arms a byte of it.
        ringer
            Wakes the collector.
        wait_for_space
            Sleeps once, longer for a later attempt (its argument), and watches the collector. The producer calls it
            without the mutex.
        watch_collector
            Starts a collector if there is none.
        wait_for_entry
            Waits once, as `wait_for_space`, while the table has no entry for this process. May raise instead.
        scope
            Token of the scope whose sinks take the rows besides the session's (`config.Scope`). 0: none.
        """
        alive, armed = guard.page, guard.arm()
        self._pid = os.getpid()
        self._ring = segment.ring
        self._words = segment.ring.words
        self._wait_for_space = wait_for_space
        self._watch_collector = watch_collector
        # Before this, the process that joined the session, or the parent of a forked child, has checked the collector.
        self._next_check = time.monotonic() + CHECK_SECS
        self._row_ids = RowIds()
        self._registration = Registration.take(
            segment, wait_for_entry or wait_for_space, self._row_ids.first, alive, armed, scope=scope
        )
        introductions.announce(segment.runtime_directory, self._registration.owner)
        self._ringer = ringer
        self._mutex = threading.RLock()
        self._busy = Mark()
        """Set while a call is in progress, under the mutex."""
        fences = not ordering.register_producer(self._words[Header.ORDERING])
        self._writer = SlotWriter(segment.ring, self._registration.owner, alive, armed, fences=fences)
        self._full_ring = FullRing(self._writer, self._mutex)
        self._claims = Claims(segment, self._writer, self._full_ring, self._check_collector, self._open_slots)
        self._frames = FrameSlot(self._writer, self._claims, self._row_ids)
        self._tables = TableSlots(self._writer, self._claims, self._row_ids, self._attend, is_off=fences)
        self._oversize = Oversize(segment, self._writer, self._claims, self._frames, self._full_ring, self._row_ids)
        self._blobs: dict[BlobTemplate, BlobAppend] = {}

    @property
    def is_intact(self) -> bool:
        """False in a process forked since this producer registered."""
        return self._writer.is_intact

    @property
    def is_closed(self) -> bool:
        """Whether `close` has been called."""
        return self._full_ring.is_closed

    @property
    def pid(self) -> int:
        """The process that registered this producer."""
        return self._pid

    @property
    def index(self) -> int:
        """Index of this producer's entry in the producers table."""
        return self._registration.index

    @property
    def slot_bytes(self) -> int:
        """Size of each slot in bytes."""
        return self._ring.geometry.slot_bytes

    @property
    def dropped(self) -> int:
        """Rows that the policy dropped."""
        return self._full_ring.dropped

    def append(self, rows: Rows) -> bool:
        """Log rows. True: they are safe. False: the policy dropped and counted them.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the policy waits, or something else has no room for the rows.
        SessionEndedError
            If the producer has been closed.
        ForkedError
            If the process forked during the call, and this is the child: begin again with another producer.
        """
        attempt, begin = 0, 0
        while not self._append_once(rows):
            if attempt == 0:
                begin = time.monotonic_ns()
            if not self._full_ring.may_wait(time.monotonic_ns() - begin, rows.rows):
                return False
            self._wait(attempt)
            attempt += 1
        if self._words[Header.ATTENTION]:
            self._attend()
        return True

    def append_row(self, row: TableRow) -> Outcome:
        """Log one row that may lie in a table. Never returns `Outcome.NO_SPACE`.

        Raises
        ------
        RingFullError, SessionEndedError, ForkedError
            As `append`.
        """
        attempt, begin = 0, 0
        while (outcome := self._append_row_once(row)) is Outcome.NO_SPACE:
            if attempt == 0:
                begin = time.monotonic_ns()
            if not self._full_ring.may_wait(time.monotonic_ns() - begin, 1):
                return Outcome.DROPPED
            self._wait(attempt)
            attempt += 1
        return outcome

    def blob_append(self, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any) -> BlobAppend:
        """Return the object that appends blobs like this one. See `BlobAppend`."""
        made = self._blobs.get(template)
        if made is None:
            if len(self._blobs) >= MAX_BLOB_APPENDS:
                self._blobs.clear()
            parts = BlobParts(
                self._writer,
                self._claims,
                self._oversize,
                self._full_ring,
                self._row_ids,
                self._mutex,
                self._busy,
                self._attend,
                self.append,
            )
            made = self._blobs[template] = BlobAppend(parts, template, names, log_time, archetype)
        return made

    def count_refused(self, rows: int) -> bool:
        """Count refused rows in this producer's account. False: it is closed, or belongs to this process's parent."""
        if self.is_closed or not self.is_intact:
            return False
        self._full_ring.count(ProducerWord.REFUSED, rows)
        return True

    def table_of(self, shape: TableShape) -> OpenTable | None:
        """Return the table of a shape that the calling thread owns, if there is one."""
        return self._tables.table_of(shape)

    def invalidate(self) -> None:
        """Stop every call that is in progress, in a forked child: the slots are the parent's."""
        self._tables.invalidate()
        self._writer.invalidate()

    def seal(self) -> None:
        """Give every open slot to the collector."""
        with self._mutex:
            if not self.is_closed:
                self._undisturbed(self._seal_all)

    def pending(self) -> list[tuple[int, int, int]]:
        """Return (slot, epoch, count) of each slot whose rows may not be in the store yet."""
        return self._ring.pending(self._registration.owner)

    def close(self) -> None:
        """Release everything; the collector takes over the slots. Later calls of `append` raise."""
        with self._mutex:
            self._full_ring.is_closed = True
            self._undisturbed(self._seal_all)
            if self.is_intact:
                self._words[self._ring.geometry.producer_word(self.index) + ProducerWord.LEFT] = 1
            # Once the lease is released, the collector owns the slots: a call of this process that was interrupted, in
            # a table or further out on this thread's stack, must store nothing more.
            if has_gil():
                self._tables.invalidate()
            elif not self._tables.stop_other_threads():
                return  # the lease ends with the process
            self._writer.invalidate()
        self._registration.release()

    def _append_once(self, rows: Rows) -> bool:
        """Append rows without waiting. False: the ring has no space now, or the producer is closed."""
        if sys.is_finalizing():
            # A daemon thread that finalisation froze may hold the mutex.
            return not self._full_ring.is_closed and self._append_alone(rows)
        with self._mutex:
            if self._full_ring.is_closed:
                return False
            appended = self._undisturbed(self._append_to_open, rows)
            return self._append_alone(rows) if appended is None else appended

    def _append_to_open(self, rows: Rows) -> bool:
        """Append rows to the open slot, or to spares."""
        if self._frames.fits(rows):
            return self._frames.append(rows)
        return self._oversize.append(rows, self._claims.take_spares)

    def _append_alone(self, rows: Rows) -> bool:
        """Append rows to slots claimed for them alone: no other call's state is touched."""
        try:
            if self._frames.fits(rows):
                return self._frames.append_alone(rows)
            return self._oversize.append(rows, self._claims.claim_chain)
        except BaseException:
            self._claims.needs_repair = True
            raise

    def _append_row_once(self, row: TableRow) -> Outcome:
        """Append a row without waiting. A closed producer has no space."""
        if sys.is_finalizing():
            return Outcome.NOT_A_TABLE
        with self._mutex:
            if self._full_ring.is_closed:
                return Outcome.NO_SPACE
            return self._undisturbed(self._tables.append, row) or self._append_row_alone(row)

    def _append_row_alone(self, row: TableRow) -> Outcome:
        """Append a row to a table of its own: no other call's state is touched."""
        try:
            return self._tables.append_alone(row)
        except BaseException:
            self._claims.needs_repair = True
            raise

    def _undisturbed(self, step: Callable[..., Result], *arguments: Any) -> Result | None:
        """Call `step`, or return None if another call of this thread is in progress. The caller holds the mutex."""
        try:
            del self._busy.free
        except AttributeError as error:
            if not is_own(error):
                raise
            return None
        try:
            return step(*arguments)
        except BaseException:
            self._claims.needs_repair = True
            raise
        finally:
            self._busy.free = True

    def _open_slots(self) -> set[int]:
        """Return the slots that this producer keeps open between calls, spares excepted."""
        return {self._frames.slot, *self._tables.slots()}

    def _seal_all(self) -> None:
        """Give every open slot to the collector. `_undisturbed` calls this."""
        self._claims.repair()
        self._frames.seal()
        self._claims.abandon_spares()
        self._tables.seal()

    def _attend(self) -> None:
        """Do what the attention word asks for, after a commit."""
        wanted = self._words[Header.ATTENTION]
        if wanted & Attention.SLEEPING:
            self._ringer.ring()
            self._check_collector()
        if wanted & Attention.PRESSURE:
            self.seal()
        pausing.apply_pause(wanted, self._words)

    def _check_collector(self) -> None:
        """Check that a collector lives, once a second at most, and at once if guard and worker have let go."""
        now = time.monotonic()
        if now >= self._next_check or self._words[Header.IS_AWAY]:
            self._next_check = now + CHECK_SECS
            self._watch_collector()

    def _wait(self, attempt: int) -> None:
        """Wait for space once. Seals first, because this producer's own slots may be the missing space."""
        self.seal()
        begin = time.monotonic_ns()
        try:
            self._wait_for_space(attempt)
        finally:
            self._full_ring.count(ProducerWord.BLOCKED_NS, time.monotonic_ns() - begin)
