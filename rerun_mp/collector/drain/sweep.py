"""Sweeps: the collector copies new rows out of the ring, and makes the sweep done after the store has them.

One sweep is in flight at a time. It has these steps, in this order. A collector may die between any two of them:

1. `Sweeper.collect` copies what lies between done and count of each slot that moved. It stores nothing, so it may run
   ahead: while one sweep is being flushed, the next one is copied.
2. `Sweeper.begin` stores a (sweep, taken) word in the control line of each of these slots. No chunk is forwarded before
   all of these words are stored.
3. The worker forwards the chunks to the store and flushes it.
4. `Sweeper.complete` adds to the producers' totals and stores the sweep's number in the header: *this store makes the
   sweep done*. Then `SlotFreer.free_done` frees the slots that are sealed and done.

A new collector first repeats exactly the ranges that carry the number after the header's (`resume=True`): same ranges,
same groups, same chunk ids, so that a reader keeps one copy. `free_done` runs after every sweep, so freeing that a dead
collector left unfinished is finished then.

From a slot that does not parse, the sweep takes the rows before the damage. When the owner has let go of the slot, a
sweep *gives up* the rest: the rows that the owner counted and no sweep has taken are damaged rows of that sweep. Called
by the worker's main thread only.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rerun_mp.collector.drain.chunks import BuiltChunks
from rerun_mp.collector.drain.frame_chunks import TakenFrames
from rerun_mp.collector.drain.freeing import SlotFreer
from rerun_mp.collector.drain.progress import Progress
from rerun_mp.collector.drain.slots import SlotReader
from rerun_mp.collector.drain.table_rows import TakenRows
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError
from rerun_mp.shm.layout import TAKEN_MASK, Header, Kind, Line, ProducerWord, SlotState, unpack_owner
from rerun_mp.shm.segment import Segment

__all__ = ["Sweep", "Sweeper"]

MAX_SWEEP_BYTES = 16 * 1024 * 1024
"""Bytes after which a sweep takes no further slot. Two sweeps are in memory at a time; without a maximum, the collector
grew to 1 GB."""
MAX_SMALL_ROW_BYTES = 256
"""Average bytes of rows up to which a sweep may take twice as many bytes: so the small chunks of many entities get more
rows."""
MIN_TABLE_ROW_BYTES = 10
"""Bytes of a table's clock and entity columns per row: bounds how many rows a slot can hold."""


@dataclass(slots=True)
class Sweep:
    """What one sweep took."""

    number: int
    stops: dict[int, int] = field(default_factory=dict)
    """slot -> how far it is taken."""
    taken: list[TakenFrames] = field(default_factory=list)
    rows: list[TakenRows] = field(default_factory=list)
    owners: dict[int, int] = field(default_factory=dict)
    """slot -> index of its producer."""
    given_up: dict[int, int] = field(default_factory=dict)
    """slot -> rows that are lost because something in it, or before them, cannot be read."""
    files: list[str] = field(default_factory=list)
    """Spool files that have been read into `taken`."""
    num_bytes: int = 0
    num_table_rows: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the ring may hold more than this sweep could take."""
        has_small_rows = self.num_bytes <= MAX_SMALL_ROW_BYTES * self.num_table_rows
        return self.num_bytes >= (2 if has_small_rows else 1) * MAX_SWEEP_BYTES

    def free_values(self) -> None:
        """Free the columns of the rows that are in chunks now. What identifies the rows stays."""
        self.rows = [replace(rows, clock=None, timelines=[], values=None) for rows in self.rows]


class Sweeper:
    """Sweeps one segment."""

    def __init__(self, segment: Segment) -> None:
        self._ring = segment.ring
        self._words = segment.ring.words
        self._geometry = segment.ring.geometry
        self.progress = Progress(segment.ring)
        self._reader = SlotReader(segment.ring, segment.spool_directory)
        self.freer = SlotFreer(segment.ring, self._reader, self.progress)
        self._recordings: defaultdict[int, set[RecordingKey]] = defaultdict(set)
        """owner -> recordings of the rows that this worker has taken from it."""
        self.new_owners: list[int] = []
        """Owners from which the last `collect` took the first rows."""
        self._first = 0
        """Slot with which the next sweep begins: the last full sweep stopped before it."""

    def collect(
        self, *, resume: bool = False, after: Sweep | None = None, may_read: Callable[[int, int], bool] | None = None
    ) -> Sweep | None:
        """Copy new rows. Returns None if there are none.

        Parameters
        ----------
        resume
            Copy instead the ranges that a dead collector's sweep had taken.
        after
            The sweep in flight: what it has taken is not new.
        may_read
            Called with slot and epoch before a slot is read; where it returns False, the slot counts as damaged. With
            it a sweep takes one slot only, unless `resume`. See `quarantine`.
        """
        sweep = Sweep((self.progress.done if after is None else after.number) + 1)
        known = len(self._recordings)
        taken = {} if after is None else after.stops
        for slot in self.progress.in_flight() if resume else self.progress.moved(taken, self._first):
            if may_read is not None:
                self._ask(slot, may_read)
            stop = self._take(slot, sweep, taken.get(slot), resume=resume)
            if stop is not None:
                sweep.stops[slot] = stop
            if not resume and (sweep.is_full or (may_read is not None and sweep.stops)):
                self._first = slot + 1
                break
        self.progress.ahead = sweep.stops
        self.new_owners = list(self._recordings)[known:]
        return sweep if sweep.stops else None

    def begin(self, sweep: Sweep) -> None:
        """Note in the ring what the sweep has taken. The sweep before it must be done."""
        for slot, stop in sweep.stops.items():
            self._ring.take(slot, sweep.number, stop)
        self.progress.ahead = {}

    def complete(self, sweep: Sweep, built: BuiltChunks) -> None:
        """Make the sweep done, after the store has its chunks."""
        damaged = Counter(sweep.given_up)
        damaged.update(built.damaged_rows)
        for slots, word in ((built.good_rows, ProducerWord.TOTAL), (damaged, ProducerWord.DAMAGE)):
            rows: Counter[int] = Counter()
            for slot, number in slots.items():
                rows[sweep.owners[slot]] += number
            for producer, number in rows.items():
                self._ring.add_total(producer, sweep.number, number, word)
        self.progress.done = sweep.number
        self._words[Header.SWEEP_DONE] = sweep.number
        for path in sweep.files:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def has_news(self) -> bool:
        """Return whether a sweep would take anything."""
        return bool(self.progress.moved({}, 0))

    def forget_producer(self, owner: int) -> set[RecordingKey]:
        """Return the recordings on which a producer has logged, as far as this worker knows, and forget them."""
        return self._recordings.pop(owner, set())

    def waiting_rows(self) -> Counter[tuple[int, RecordingKey]]:
        """Count the rows that sweeps would take, by producer and recording. For a segment that is only looked at."""
        rows: Counter[tuple[int, RecordingKey]] = Counter()
        for slot in self.progress.moved({}, 0):
            sweep = Sweep(0)
            self._take(slot, sweep, None, resume=False)
            for taken in sweep.taken:
                for frame in taken.frames:
                    rows[sweep.owners[slot], frame.shape.recording] += frame.rows
            for table in sweep.rows:
                rows[sweep.owners[slot], table.shape.recording] += table.stop - table.start
        return rows

    def _ask(self, slot: int, may_read: Callable[[int, int], bool]) -> None:
        epoch = self._words[self._geometry.line_word(slot) + Line.EPOCH]
        if not may_read(slot, epoch) and not self.progress.is_damaged(slot, epoch):
            self.progress.mark_damaged(slot, epoch)

    def _take(self, slot: int, sweep: Sweep, start: int | None, *, resume: bool) -> int | None:
        """Copy the new rows of one slot into `sweep`. Returns how far the slot is taken; None if not at all.

        They begin at `start`, or where the last sweep that is done has ended.
        """
        line = self._geometry.line_word(slot)
        # State first, then count: what is below a count read after OPEN or SEALED belongs to that owner.
        state = self._words[line + Line.STATE]
        if state & 0xFF not in (SlotState.OPEN, SlotState.SEALED):
            return None
        done = self.progress.done
        stop = self._ring.in_flight(slot, done) if resume else self._words[line + Line.COUNT]
        self._ring.order_loads()  # the rows below the count are visible from here on
        kind, epoch = self._words[line + Line.KIND], self._words[line + Line.EPOCH]
        start = self._ring.done(slot, done) if start is None else start
        producer, _ = unpack_owner(state)
        if stop is None or stop <= start:
            return None
        if self.progress.is_damaged(slot, epoch):
            return self._give_up(slot, epoch, start, producer, sweep)
        try:
            if producer >= self._geometry.producers:
                raise CorruptionError(f"slot {slot} names producer {producer}")
            if kind == Kind.FRAMES:
                frames, stop, error = self._reader.read_frames(slot, epoch, start, stop)
            elif kind == Kind.HEAD and stop == 1:
                frames, error = self._reader.read_chain(slot, state)
            elif kind == Kind.TABLE:
                rows = self._reader.read_table(
                    slot, epoch, start, stop, owner=state & ~0xFF, scope=self._reader.scope(producer)
                )
                sweep.rows.append(rows)
                sweep.owners[slot] = producer
                sweep.num_bytes += rows.num_bytes
                sweep.num_table_rows += stop - start
                self._recordings[state & ~0xFF].add(rows.shape.recording)
                return stop
            else:
                raise CorruptionError(f"slot {slot} has a count of {stop} but is of kind {kind}")
            if not frames and error is None:
                raise CorruptionError(f"slot {slot} has a count of {stop} and no rows")
        except CorruptionError as damage:
            frames, stop, error = [], start, damage
        if error is not None:
            self.progress.mark_damaged(slot, epoch)
            if kind == Kind.HEAD or stop <= start:
                # A sweep that is repeated had given up this slot.
                let_go = state & 0xFF == SlotState.SEALED
                return self._give_up(slot, epoch, start, producer, sweep) if let_go or resume else None
        frames = [self._reader.read_file(frame, state, sweep.files) for frame in frames]
        self._recordings[state & ~0xFF].update({frame.shape.recording for frame in frames})
        sweep.taken.append(TakenFrames(slot, epoch, start, stop, frames, self._reader.scope(producer)))
        sweep.owners[slot] = producer
        copied = min(stop - start, self._geometry.slot_bytes)
        sweep.num_bytes += max(copied, sum(len(frame.body) for frame in frames))
        return stop

    def _give_up(self, slot: int, epoch: int, start: int, producer: int, sweep: Sweep) -> int:
        """Take a damaged slot that its owner has let go of to its end, and count the rows that are lost."""
        line = self._geometry.line_word(slot)
        count, rows = self._words[line + Line.COUNT], self._words[line + Line.ROWS]
        self.progress.give_up(slot, epoch, sweep.number)
        if producer < self._geometry.producers:
            # A count beyond what a slot can hold is damage itself, so it is capped.
            if self._words[line + Line.KIND] == Kind.TABLE:
                lost = min(count, self._geometry.slot_bytes // MIN_TABLE_ROW_BYTES) - start
            else:
                most = self._geometry.slots * self._geometry.slot_bytes
                lost = min(rows, most) - self._reader.count_rows_before(slot, start)
            sweep.given_up[slot] = max(0, lost)
            sweep.owners[slot] = producer
        return min(count, TAKEN_MASK)
