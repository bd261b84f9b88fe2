"""This process's writing side: a row whose `append` returned lies below a count in shared memory.

One producer per process and per life between forks. Its mutex guards the open slot and the row ids; it is never
held while waiting for space. A call that finds the mutex held by its own thread (a signal handler or `__del__` in the
middle of another call), or that runs while the interpreter finalises, uses a slot of its own: claimed, written,
sealed.

What is committed is read from shared memory at every call, not remembered: an exception between the commit and
the end of a call can make nothing disagree.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
from enum import Enum
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.encoding.chains import chain_slots, pack_chain, unpack_chain
from rerun_mp.encoding.frames import (
    FILE_REFERENCE,
    FrameKind,
    Rows,
    Shape,
    large_file_prefix,
    pack_rows_head,
    pack_shape,
)
from rerun_mp.encoding.ids import RowIds
from rerun_mp.encoding.tables import WIDE_ROW
from rerun_mp.errors import CorruptionError, ResourceError, RingFullError, SessionEndedError
from rerun_mp.producer.open_table import OpenTable, TableRow, plan_for
from rerun_mp.producer.registration import Registration
from rerun_mp.producer.repeated_blobs import BlobAppend
from rerun_mp.settings import Policy
from rerun_mp.shm import introductions as births
from rerun_mp.shm.layout import Attention, Header, Kind, Line, ProducerWord, SlotState
from rerun_mp.shm.segment import ClaimLocks, Segment
from rerun_mp.shm.transient import close_in_children, no_forks
from rerun_mp.shm.writer import ForkedError, SlotWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from rerun_mp.encoding.encoder import BlobTemplate
    from rerun_mp.encoding.tables import TableShape
    from rerun_mp.producer.repeated_blobs import KnownMessage
    from rerun_mp.shm.doorbell import Ringer
    from rerun_mp.shm.leases import ForkGuard

__all__ = ["Outcome", "Producer"]

LOOK_SECS = 1.0
MAX_TABLES = 64
"""Tables that one process keeps open."""
MAX_BLOBS = 256
"""Forms of blobs whose rows are composed from what is known."""
SPARE_SLOTS = 8
"""How many slots are claimed at once for large messages, if those need fewer."""
SPARE_SHARE = 16
"""Of so many usable slots, one at most is claimed ahead."""
OPEN_PRIVATE = functools.partial(os.open, mode=0o600)
"""An opener without a line of Python, in which no signal handler runs."""


class Outcome(Enum):
    """What became of a row that may lie in a table."""

    COMMITTED = "committed"
    DROPPED = "dropped"
    NO_SPACE = "no space"
    NOT_A_TABLE = "not a table"
    """Such rows are frames, or this one is."""


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
            Sleeps once, the longer the greater the number of the attempt, and watches the collector. Called without
            any mutex held.
        watch_collector
            Starts a collector if there is none.
        wait_for_entry
            Waits once, as `wait_for_space`, while the table has no entry for this process; may raise instead.
        scope
            Whose sinks take its rows besides the session's: `config.Scope`.
        """
        self._segment = segment
        self._ring = segment.ring
        self._words = segment.ring.words
        self._capacity = segment.ring.geometry.slot_bytes
        self._policy = Policy(self._words[Header.POLICY])
        self._alive = guard.page
        self._armed = guard.arm()
        self._wait_for_space = wait_for_space
        self._watch_collector = watch_collector
        # Who joined the session has seen to it that there is a collector; so has, before, the parent of a forked child.
        self._next_look = time.monotonic() + LOOK_SECS
        self._row_ids = RowIds()
        self._registration = Registration.take(
            segment, wait_for_entry or wait_for_space, self._row_ids.first, self._alive, self._armed, scope=scope
        )
        births.announce(segment.runtime_directory, self._registration.owner)
        self._entry = segment.ring.geometry.producer_word(self._registration.index)
        self._writer = SlotWriter(segment.ring, self._registration.owner, guard.page, self._armed)
        self._ringer = ringer
        self._mutex = threading.RLock()
        self._busy = False
        self._is_torn = False
        """Whether an exception has ended a call that may have left a slot open which nobody knows."""
        self._closed = False
        self._slot = -1
        self._keep = False
        self._spares: list[int] = []
        """Slots claimed for large messages to come."""
        self._shapes: dict[Shape, int] = {}
        self._tables: dict[TableShape, OpenTable] = {}
        self._blobs: dict[BlobTemplate, BlobAppend] = {}
        self._large_files = 0
        self._mapped = bytearray(segment.ring.geometry.slots)
        """Whether this process has each slot's pages mapped already."""

    @property
    def is_intact(self) -> bool:
        """False in a process that was forked since."""
        return self._alive[self._armed] == 1

    @property
    def index(self) -> int:
        """Where this process stands in the producers table."""
        return self._registration.index

    @property
    def slot_bytes(self) -> int:
        """Of each slot."""
        return self._capacity

    @property
    def dropped(self) -> int:
        """Rows that the policy dropped."""
        return self._words[self._entry + ProducerWord.DROPPED]

    def append(self, rows: Rows) -> bool:
        """Log rows. True: they are safe. False: the policy dropped and counted them.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the policy waits, or something else has no room for the rows.
        SessionEndedError
            If the producer has been closed.
        ForkedError
            If the process forked in the middle, and this is the child: begin again with another producer.
        """
        attempt, begin = 0, 0
        while not self._append_once(rows):
            if attempt == 0:
                begin = time.monotonic_ns()
            if not self._may_wait(time.monotonic_ns() - begin, rows.rows):
                return False
            self._wait(attempt)
            attempt += 1
        if self._words[Header.ATTENTION]:
            self._attend()
        return True

    def append_row(self, row: TableRow) -> Outcome:
        """Log one row that may lie in a table.

        Raises
        ------
        RingFullError, SessionEndedError, ForkedError
            As `append`.
        """
        attempt, begin = 0, 0
        while (outcome := self._append_row_once(row)) is Outcome.NO_SPACE:
            if attempt == 0:
                begin = time.monotonic_ns()
            if not self._may_wait(time.monotonic_ns() - begin, 1):
                return Outcome.DROPPED
            self._wait(attempt)
            attempt += 1
        return outcome

    def blob_append(self, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any) -> BlobAppend:
        """Return what appends blobs like this one."""
        made = self._blobs.get(template)
        if made is None:
            if len(self._blobs) >= MAX_BLOBS:
                self._blobs.clear()
            made = self._blobs[template] = BlobAppend(self, template, names, log_time, archetype)
        return made

    def append_known(self, message: KnownMessage, times: Sequence[int], blob: memoryview) -> bool:
        """Log one row whose message is known but for its id, times and blob. False: it needs the long way.

        Raises
        ------
        ForkedError
            As `append`.
        """
        if sys.is_finalizing() or not self.is_intact:
            return False
        with self._mutex:
            slots = message.slots
            if self._busy or self._closed or not self._may_take(slots):
                return False
            self._busy = True
            try:
                chain = self._take_spares(slots, 1)
                row_id = self._row_ids.mint(1)
                head = message.pack(message.before, *row_id, message.between, *times, message.behind)
                if not self._write_chain(chain, slots, message.total, 1, (head, blob, message.after)):
                    self._busy = False
                    return False
            except BaseException:
                self._is_torn, self._busy = True, False
                raise
            self._busy = False
        if self._words[Header.ATTENTION]:
            self._attend()
        return True

    def table_of(self, shape: TableShape) -> OpenTable | None:
        """Return the open table of a shape, if there is one."""
        return self._tables.get(shape)

    def invalidate(self) -> None:
        """Let nobody append to what is open: it belongs to the process from which this one was forked."""
        for table in self._tables.values():
            table.invalidate()

    def seal(self) -> None:
        """Give every open slot to the collector."""
        with self._mutex:
            if not self._busy:
                self._seal_all()

    def pending(self) -> list[tuple[int, int, int]]:
        """Return (slot, epoch, count) of what this process has committed and the store may not have yet."""
        return self._ring.pending(self._registration.owner)

    def close(self) -> None:
        """Let go of everything; the collector takes over what is left. Later calls of `append` raise."""
        # Under the mutex: a thread in the middle of a call must not write into a slot whose owner is taken for dead.
        with self._mutex:
            self._closed = True
            if not self._busy:
                self._seal_all()
        if self.is_intact:
            self._words[self._entry + ProducerWord.LEFT] = 1
        self._registration.release()

    def _append_once(self, rows: Rows) -> bool:
        """Append now. False: there is no space now."""
        if sys.is_finalizing():
            # A daemon thread that finalisation froze may hold the mutex.
            return not self._closed and self._append_alone(rows)
        with self._mutex:
            if self._closed:
                return False
            is_nested = self._busy
            self._busy = True
            try:
                if is_nested:
                    return self._append_alone(rows)
                return self._append_open(rows)
            except BaseException:
                self._is_torn = True
                raise
            finally:
                self._busy = is_nested

    def _append_open(self, rows: Rows) -> bool:
        """Append to the open slot, or else to a new one, or to several."""
        if not self._fits_a_slot(rows):
            return self._append_large(rows, self._take_spares)
        if self._slot >= 0 and self._append_at(self._words[self._ring.count_word(self._slot)], rows):
            return True
        self._seal_open()
        if self._is_torn:
            self._mend()
        slot = self._claim(Kind.FRAMES, rows.rows, maps_ahead=rows.size >= WIDE_ROW)
        if slot is None:
            return False
        self._slot = slot
        self._keep = self._ring.has_room_to_keep()
        return self._append_at(0, rows)

    def _append_row_once(self, row: TableRow) -> Outcome:
        if sys.is_finalizing():
            return Outcome.NOT_A_TABLE
        with self._mutex:
            if self._closed:
                return Outcome.NO_SPACE
            if self._busy:
                return Outcome.NOT_A_TABLE
            self._busy = True
            try:
                table = self._tables.get(row.shape)
                if table is not None:
                    if table.knows(row) and table.append(row.name, row.archetype, row.point):
                        return Outcome.COMMITTED
                    self._close_table(row.shape)
                return self._append_to_new_table(row, table)
            except BaseException:
                self._is_torn = True
                raise
            finally:
                self._busy = False

    def _append_to_new_table(self, row: TableRow, former: OpenTable | None) -> Outcome:
        plan = plan_for(row.shape, self._capacity)
        if plan is None:
            return Outcome.NOT_A_TABLE
        if self._is_torn:
            self._mend()
        slot = self._claim(Kind.TABLE, 1, maps_ahead=row.shape.width >= WIDE_ROW)
        if slot is None:
            return Outcome.NO_SPACE
        keep = False
        try:
            least_time, first_counter = self._row_ids.mint(plan.capacity)
            plan = plan._replace(first_counter=first_counter, least_time=least_time)
            table = OpenTable(self._writer, slot, row.shape, plan, self._alive, self._armed, self._attend, former)
            if not table.knows(row):
                # Perhaps it is the dictionary taken over that leaves no room.
                table.forget()
            if not table.knows(row) or not table.append(row.name, row.archetype, row.point):
                return Outcome.NOT_A_TABLE
            keep = self._ring.has_room_to_keep()
            if keep:
                if len(self._tables) >= MAX_TABLES:
                    self._close_table(next(iter(self._tables)))
                self._tables[row.shape] = table
            else:
                table.invalidate()
            return Outcome.COMMITTED
        finally:
            if not keep:
                self._writer.seal(slot)

    def _append_at(self, used: int, rows: Rows) -> bool:
        """Append to the open slot, of which `used` bytes are used. False: they do not fit."""
        declared = self._shapes.get(rows.shape)
        declaration = b"" if declared is not None else pack_shape(rows.shape)
        head, size = self._pack_head(rows, used if declared is None else declared)
        count = used + len(declaration) + size
        if count > self._capacity:
            return False
        before = self._words[self._ring.rows_word(self._slot)] if used else 0
        self._writer.write(self._slot, used, (declaration, head, *rows.pieces), count, before + rows.rows)
        if declared is None:
            self._shapes[rows.shape] = used
        if not self._keep or self._words[Header.ATTENTION] & Attention.PRESSURE:
            self._seal_open()
        return True

    def _close_table(self, shape: TableShape) -> None:
        table = self._tables[shape]
        self._row_ids.reach(table.retire())
        # An exception before this finds a table to which nobody appends; one after it, a slot for `_mend`.
        del self._tables[shape]
        self._writer.seal(table.slot)

    def _append_alone(self, rows: Rows) -> bool:
        """Append to a slot claimed for these rows only: no other call's state is touched."""
        if not self._fits_a_slot(rows):
            return self._append_large(rows, self._claim_chain)
        declaration = pack_shape(rows.shape)
        head, size = self._pack_head(rows, 0)
        slot = self._claim(Kind.FRAMES, rows.rows, maps_ahead=rows.size >= WIDE_ROW)
        if slot is None:
            return False
        try:
            self._writer.write(slot, 0, (declaration, head, *rows.pieces), len(declaration) + size, rows.rows)
        finally:
            # With a count of 0 it is a slot given back.
            self._writer.seal(slot)
        return True

    def _append_large(self, rows: Rows, take: Callable[[int, int], list[int]]) -> bool:
        """Append a message that no slot holds: over the slots that `take` yields, or by way of a file of the spool."""
        declaration = pack_shape(rows.shape)
        head, size = self._pack_head(rows, 0)
        total = len(declaration) + size
        slots = chain_slots(total, self._capacity)
        if not self._may_take(slots):
            return self._append_file(rows)
        pieces = (declaration, head, *rows.pieces)
        return self._write_chain(take(slots, rows.rows), slots, total, rows.rows, pieces)

    def _write_chain(
        self, chain: list[int], slots: int, total: int, rows: int, pieces: Iterable[bytes | memoryview]
    ) -> bool:
        """Write a message of `total` bytes over a chain. False: it has fewer than `slots` slots, which go back."""
        words, line_word = self._words, self._ring.geometry.line_word
        try:
            if len(chain) < slots:
                return False
            parts = [(slot, words[line_word(slot) + Line.EPOCH]) for slot in chain[1:]]
            self._writer.join(chain[1:])
            self._writer.scatter(chain, (pack_chain(parts, total), *pieces))
            self._writer.commit(chain[0], 1, rows)
            return True
        finally:
            if chain and words[self._ring.count_word(chain[0])]:
                # The collector frees the whole chain with its head.
                self._writer.seal(chain[0])
            else:
                self._writer.abandon(chain)

    def _may_take(self, slots: int) -> bool:
        """Say whether one message may take so many slots: a quarter of the ring."""
        return slots * 4 <= self._words[Header.USABLE_SLOTS]

    def _claim_chain(self, slots: int, rows: int) -> list[int]:
        """Claim slots for one message of so many rows, or fewer."""
        return self._claim_slots((Kind.HEAD,) * slots, rows, maps_ahead=True)

    def _take_spares(self, slots: int, rows: int) -> list[int]:
        """Take slots for one message of so many rows, or fewer, from those claimed ahead.

        Claiming takes a call into the kernel for each slot and some more; for several messages at once it is cheaper.
        """
        missing = slots - len(self._spares)
        if missing > 0:
            if self._is_torn:
                self._mend()
            ahead = min(SPARE_SLOTS, self._words[Header.USABLE_SLOTS] // SPARE_SHARE)
            more = self._claim_chain(max(missing, ahead), rows)
            self._spares = self._spares + more
            if not self._ring.has_room_to_keep():
                surplus, self._spares = self._spares[slots:], self._spares[:slots]
                self._writer.abandon(surplus)
        # No call in between: whoever interrupts the call finds a slot here or there.
        chain, self._spares = self._spares[:slots], self._spares[slots:]
        return chain

    def _abandon_spares(self) -> None:
        spares, self._spares = self._spares, []
        self._writer.abandon(spares)

    def _append_file(self, rows: Rows) -> bool:
        """Put the batch into a private file of the spool, and a small frame that names it into the ring."""
        if not self._words[Header.FREE_SLOTS]:
            # Not to write the file anew at every attempt.
            return False
        directory = self._segment.spool_directory
        self._large_files += 1
        name = large_file_prefix(self._registration.index, self._registration.generation) + str(self._large_files)
        path = os.path.join(directory, name)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._write_file(path, rows.pieces)
        except BaseException as error:
            self._remove_file(path)
            if not isinstance(error, OSError) or not self.is_intact:
                raise
            return self._refuse(
                f"a row of {rows.size} bytes, which the ring is too small for, cannot be written to {directory}: "
                f"{error.strerror}; it was not logged. Make room there, set XDG_CACHE_HOME to another disk, or enlarge "
                "the ring (RERUN_MP_RING_BYTES).",
                error,
                rows.rows,
            )
        reference = FILE_REFERENCE.pack(rows.kind, rows.size) + name.encode()
        try:
            written = self._append_alone(rows._replace(kind=FrameKind.FILE, pieces=(reference,), size=len(reference)))
        except RingFullError:
            self._remove_file(path)
            raise
        if not written:
            self._remove_file(path)
        return written

    def _write_file(self, path: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Write a file of the spool. A child that is forked in the middle does not go on with its parent's."""
        alive, armed = self._alive, self._armed
        # Nothing between this and the file's creation lets a signal handler run: the name is the parent's, too.
        if not alive[armed]:
            raise ForkedError
        with FileIO(path, "x", opener=OPEN_PRIVATE) as file:
            close_in_children(file)
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    if not alive[armed]:
                        raise ForkedError
                    view = view[file.write(view) :]

    def _remove_file(self, path: str) -> None:
        """Remove a file of the spool that no frame names, unless it is the parent's of this process."""
        if self.is_intact:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _pack_head(self, rows: Rows, shape_offset: int) -> tuple[bytes, int]:
        return pack_rows_head(
            rows.kind, shape_offset, rows.rows, *self._row_ids.mint(rows.rows), rows.entity_path, rows.size
        )

    def _fits_a_slot(self, rows: Rows) -> bool:
        # What the packing adds: two headers, paddings, the fixed fields, application id and recording id.
        others = len(rows.shape.schema) + sum(4 * len(text) for text in rows.shape.recording) + len(rows.entity_path)
        return rows.size + others + 128 <= self._capacity

    def _claim(self, kind: int, rows: int, *, maps_ahead: bool) -> int | None:
        slots = self._claim_slots((kind,), rows, maps_ahead=maps_ahead)
        return slots[0] if slots else None

    def _claim_slots(self, kinds: Sequence[int], rows: int, *, maps_ahead: bool) -> list[int]:
        """Claim a slot for each of `kinds`, or fewer where there are no more. `maps_ahead`: they will soon be full.

        `rows` is how many they are wanted for.
        """
        self._look_after_collector()
        tried: list[int] = []
        try:
            with no_forks(), FileIO(self._segment.open(), "r+") as file:
                locks = ClaimLocks(self._segment, close_in_children(file))
                slots = self._writer.claim(kinds, self._start(), locks.lock, locks.reserve, tried)
            for slot in slots:
                if maps_ahead and not self._mapped[slot]:
                    # Page by page, at the first touches, it would take several times as long.
                    self._segment.map_ahead(slot)
                    self._mapped[slot] = 1
        except BaseException as error:
            self._writer.abandon(tried)
            if isinstance(error, OSError) and not isinstance(error, ResourceError) and self.is_intact:
                # Out of descriptors, most often.
                self._refuse(
                    f"no slot of the ring can be claimed: {error.strerror}; this row was not logged. Raise the limit "
                    "that the system names (open files: ulimit -n).",
                    error,
                    rows,
                )
                return []
            raise
        return slots

    def _start(self) -> int:
        # Spread, so that producers seldom try the same slot first.
        return self._registration.index * 61 % self._ring.geometry.slots

    def _seal_all(self) -> None:
        """Give every open slot to the collector. Under the mutex, in no call's middle."""
        self._busy = True
        try:
            if self._is_torn:
                self._mend()
            self._seal_open()
            self._abandon_spares()
            for shape in list(self._tables):
                self._close_table(shape)
        except BaseException:
            self._is_torn = True
            raise
        finally:
            self._busy = False

    def _mend(self) -> None:
        """Let go of the slots that calls ended by an exception have left open.

        A KeyboardInterrupt may come after any call: between a claim and the note of it, and where a slot is given back.
        Such a slot is one that is ours and open, and that we do not know. In no call's middle: a call in progress has
        such slots, too.
        """
        ring, words, owner = self._ring, self._words, self._registration.owner
        known = {self._slot, *self._spares, *(table.slot for table in self._tables.values())}
        for slot in ring.owner_slots(owner):
            line = ring.geometry.line_word(slot)
            if words[line + Line.KIND] == Kind.HEAD and words[line + Line.COUNT]:
                # Parts stay open until the collector frees them with their head; if it has meanwhile, they are free.
                with contextlib.suppress(CorruptionError):
                    offset = ring.geometry.slot_offset(slot)
                    head = memoryview(bytes(ring.memory[offset : offset + self._capacity]))
                    known.update(part for part, _ in unpack_chain(head, ring.geometry.slots, self._capacity)[0])
        for slot in ring.owner_slots(owner):
            if slot in known or ring.states[slot] != owner | SlotState.OPEN:
                continue
            if words[ring.count_word(slot)]:
                self._writer.seal(slot)
            else:
                self._writer.abandon((slot,))
        self._is_torn = False

    def _seal_open(self) -> None:
        slot, self._slot = self._slot, -1
        self._shapes = {}
        if slot >= 0:
            self._writer.seal(slot)

    def _attend(self) -> None:
        """Heed what the collector wants, after a commit."""
        wanted = self._words[Header.ATTENTION]
        if wanted & Attention.SLEEPING:
            self._ringer.ring()
            self._look_after_collector()
        if wanted & Attention.PRESSURE:
            self.seal()

    def _look_after_collector(self) -> None:
        """See, once a second at most, whether guard and worker were killed together: nobody else would notice."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_SECS
            self._watch_collector()

    def _wait(self, attempt: int) -> None:
        """Wait for space once, with nothing open: the space may be our own."""
        self.seal()
        begin = time.monotonic_ns()
        try:
            self._wait_for_space(attempt)
        finally:
            self._count(ProducerWord.BLOCKED_NS, time.monotonic_ns() - begin)

    def _may_wait(self, waited_ns: int, rows: int) -> bool:
        """Follow the policy for a full ring. False: the rows are dropped, and counted."""
        if self._closed:
            raise SessionEndedError(
                "this process has left its session, so the row has nowhere to go; call rerun_mp.init() again"
            )
        if self._policy == Policy.DROP:
            self._count(ProducerWord.DROPPED, rows)
            return False
        timeout_ns = self._words[Header.BLOCK_TIMEOUT_NS]
        if self._policy == Policy.RAISE or (timeout_ns and waited_ns >= timeout_ns):
            self._count(ProducerWord.REFUSED, rows)
            raise RingFullError(
                f"the ring of {self._ring.geometry.slots} slots is full and stayed so for {waited_ns / 1e9:.1f} s; "
                "this row was not logged. Enlarge the ring (RERUN_MP_RING_BYTES) or choose another policy "
                "(RERUN_MP_POLICY=block or drop)."
            )
        return True

    def _refuse(self, message: str, cause: OSError, rows: int) -> bool:
        """Follow the policy where waiting would not help. False: to be dropped."""
        if self._policy == Policy.DROP:
            return False
        self._count(ProducerWord.REFUSED, rows)
        raise RingFullError(message) from cause

    def _count(self, word: int, number: int) -> None:
        """Add to one of this process's counters, unless its entry may be somebody else's by now."""
        if sys.is_finalizing():
            self._count_now(word, number)
            return
        with self._mutex:
            self._count_now(word, number)

    def _count_now(self, word: int, number: int) -> None:
        if not self._closed and self._alive[self._armed]:
            self._words[self._entry + word] += number
