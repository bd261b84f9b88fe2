"""Sweeps: what is new in the ring is copied out, unpacked, and, once it is in the store, freed.

One sweep is in flight at a time. Its steps, in this order, and what a collector that dies between them leaves behind:

1. `Sweeper.collect` copies what lies between done and count of each slot that moved. It stores nothing, so it may run
   ahead: while the sweep before is being flushed, the next one is copied.
2. `Sweeper.begin` stores a (sweep, taken) word in each of their control lines. Nothing has been forwarded before all
   of those words are there.
3. The worker forwards the chunks to the store and flushes it.
4. `Sweeper.complete` adds to the producers' totals and stores the sweep's number in the header: *this store makes the
   sweep done*. Then it frees what is sealed and done.

A new collector first repeats exactly the ranges that carry the number after the header's (`resume=True`): same ranges,
same groups, same chunk ids, so that a reader keeps one copy. Freeing is repeated by every sweep until it is done.

Shared memory is not trusted: every range is checked, copied, and parsed only in the copy. Of a slot that does not
parse, what lies before the damage is taken, and nothing more. When its owner has let go of it, a sweep *gives up* the
rest: the rows that the owner counted and nobody has taken are damaged rows of that sweep. Called by the worker's main
thread only.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rerun_mp.collector.drain.frame_chunks import BuiltChunks, TakenFrames
from rerun_mp.collector.drain.table_chunks import TakenRows, copy_rows
from rerun_mp.encoding.chains import EPOCH_MASK, preamble_bytes, unpack_chain
from rerun_mp.encoding.frames import (
    FILE_REFERENCE,
    LARGE_FILE_PREFIX,
    FrameKind,
    RecordingKey,
    RowsFrame,
    Shape,
    unpack_frames,
)
from rerun_mp.encoding.tables import TablePlan, TableShape, head_bytes, unpack_head
from rerun_mp.errors import CorruptionError
from rerun_mp.shm.layout import (
    LINE_WORDS,
    MAX_SWEEPS,
    PAGE,
    TAKEN_BITS,
    TAKEN_MASK,
    Attention,
    Header,
    Kind,
    Line,
    ProducerWord,
    SlotState,
    unpack_owner,
)
from rerun_mp.shm.segment import Segment

__all__ = ["Sweep", "Sweeper"]

MAX_SWEEP_BYTES = 16 * 1024 * 1024
"""What one sweep copies at most. Two of them are in memory, one of these unflushed: a collector that took all there is
grew to 1 GB."""
MAX_FILE_BYTES = 1 << 40
MIN_ROW_BYTES = 10
"""Of a table: clock and entity."""
MAX_KNOWN_BYTES = 64 * 1024 * 1024
"""Of slots in which shapes were found that are remembered, before they are forgotten."""
REFRESH_TOTALS = 4096
"""Sweeps between two rewritings of all totals, far less than the 2**15 over which their numbers can be compared."""


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
    """Files of the spool whose contents are in `taken`."""
    num_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether there may be more than this sweep could take."""
        return self.num_bytes >= MAX_SWEEP_BYTES


class Sweeper:
    """Drains one segment."""

    def __init__(self, segment: Segment) -> None:
        self._ring = segment.ring
        self._words = segment.ring.words
        self._geometry = segment.ring.geometry
        self._spool = segment.spool_directory
        count = self._geometry.slots * LINE_WORDS
        flat = np.frombuffer(segment.ring.memory, dtype=np.uint64, count=count, offset=self._geometry.control_offset)
        self._control = flat.reshape(self._geometry.slots, LINE_WORDS)
        self._shapes: dict[int, tuple[int, dict[int, Shape]]] = {}
        """slot -> (epoch, offset -> shape)."""
        self._known: dict[bytes, Shape] = {}
        self._known_bytes = 0
        self._tables: dict[int, tuple[int, TableShape, TablePlan, list[str]]] = {}
        """slot -> (epoch, shape, plan, texts of the dictionary so far)."""
        self._damaged: dict[int, int] = {}
        """slot -> epoch of which nothing more is read."""
        self._given_up: dict[int, tuple[int, int]] = {}
        """slot -> (epoch, the sweep that has given up the rest), of those."""
        self._number = self._words[Header.SWEEP_DONE]
        """Number of the last sweep that is done. The header's word is for the next collector, and for producers."""
        if self._number >= MAX_SWEEPS:
            # Damage. What seems to be the last sweep is repeated: that may give rows twice, but loses none.
            words = self._control[:, [Line.TAKEN_A, Line.TAKEN_B]] >> np.uint64(TAKEN_BITS)
            self._number = max(0, int(words[words < MAX_SWEEPS].max(initial=0)) - 1)
        self._recordings: defaultdict[int, set[RecordingKey]] = defaultdict(set)
        """Owner, as states name it -> the recordings on which it has logged, as far as this worker has taken it."""
        self.newcomers: list[int] = []
        """Of these something was taken for the first time when it was last collected."""
        self._first = 0
        self._ahead: dict[int, int] = {}
        """What a sweep has copied that has not begun: slot -> how far. Such a slot must not be freed."""
        self.is_under_pressure = False
        """Whether less than a quarter of the usable slots is free, and more than half are held open."""

    @property
    def done(self) -> int:
        """Number of the last sweep that is done."""
        return self._number

    def collect(
        self, *, resume: bool = False, after: Sweep | None = None, admits: Callable[[int, int], bool] | None = None
    ) -> Sweep | None:
        """Copy what is new. None if that is nothing.

        Parameters
        ----------
        resume
            Copy instead what a dead collector's sweep had taken.
        after
            The sweep that is in flight: what it has is not new.
        admits
            Asked before a slot and epoch are read, of which then only one is taken unless `resume`; what it does not
            admit counts as damaged. See `trial`.
        """
        sweep = Sweep((self._number if after is None else after.number) + 1)
        known = len(self._recordings)
        taken = {} if after is None else after.stops
        for slot in self._in_flight() if resume else self._moved(taken):
            if admits is not None:
                self._ask(slot, admits)
            stop = self._take(slot, sweep, taken.get(slot), resume=resume)
            if stop is not None:
                sweep.stops[slot] = stop
            if not resume and (sweep.is_full or (admits is not None and sweep.stops)):
                self._first = slot + 1
                break
        self._ahead = sweep.stops
        self.newcomers = list(self._recordings)[known:]
        return sweep if sweep.stops else None

    def _ask(self, slot: int, admits: Callable[[int, int], bool]) -> None:
        epoch = self._words[self._geometry.line_word(slot) + Line.EPOCH]
        if not admits(slot, epoch) and self._damaged.get(slot) != epoch:
            self._damaged[slot] = epoch
            self._ring.count_up(Header.DAMAGED_SLOTS, 1)

    def begin(self, sweep: Sweep) -> None:
        """Note in the ring what the sweep has taken. The one before is done."""
        for slot, stop in sweep.stops.items():
            self._ring.take(slot, sweep.number, stop)
        self._ahead = {}

    def complete(self, sweep: Sweep, built: BuiltChunks) -> None:
        """Make the sweep done; its chunks are in the store."""
        damaged = Counter(sweep.given_up)
        damaged.update(built.damaged_rows)
        for slots, word in ((built.good_rows, ProducerWord.TOTAL_A), (damaged, ProducerWord.DAMAGE_A)):
            rows: Counter[int] = Counter()
            for slot, number in slots.items():
                rows[sweep.owners[slot]] += number
            for producer, number in rows.items():
                self._ring.add_total(producer, sweep.number, number, word)
            if sweep.number % REFRESH_TOTALS == 0:
                for producer in range(self._geometry.producers):
                    if producer not in rows and self._ring.total(producer, word, sweep.number - 1):
                        self._ring.add_total(producer, sweep.number, 0, word)
        self._number = sweep.number
        self._words[Header.SWEEP_DONE] = sweep.number
        for path in sweep.files:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def free_done(self) -> None:
        """Free every slot that its owner has let go of and whose rows are in the store, and publish what is free."""
        if self._words[Header.SWEEP_DONE] != self._number:
            self._words[Header.SWEEP_DONE] = self._number
        snapshot = self._control.copy()
        states = snapshot[:, Line.STATE] & np.uint64(0xFF)
        counts = snapshot[:, Line.COUNT]
        is_done = (states == SlotState.ABANDONED) | (counts == 0) | (self._done(snapshot) >= counts)
        let_go = (states == SlotState.SEALED) | (states == SlotState.ABANDONED)
        for slot in np.flatnonzero(let_go & is_done).tolist():
            # Whatever the snapshot was taken with: what is sealed has its last count, and that is read now.
            if slot not in self._ahead and self._has_no_more(slot):
                self._free_with_parts(slot)
        for slot, epoch in list(self._damaged.items()):
            if snapshot[slot, Line.EPOCH] != epoch:
                del self._damaged[slot]
                self._given_up.pop(slot, None)
            elif let_go[slot] and slot not in self._ahead and self._is_given_up(slot, epoch):
                # Its count may be anything.
                self._free_with_parts(slot)
        free, held, usable = self._census()
        self._words[Header.FREE_SLOTS], self._words[Header.USABLE_SLOTS] = free, usable
        # Where slots are only waiting for us, sealing more of them half empty would make it worse.
        was_under_pressure = self.is_under_pressure
        self.is_under_pressure = free * 4 < usable < held * 2
        if self.is_under_pressure != was_under_pressure:
            self._words[Header.ATTENTION] = Attention.PRESSURE if self.is_under_pressure else 0

    def fill(self) -> float:
        """Return which part of the usable slots is in use, from 0 to 1."""
        free, _, usable = self._census()
        return 1.0 - free / usable if usable else 1.0

    def is_half_full(self) -> bool:
        """Say whether less than half of the usable slots is free now."""
        free, _, usable = self._census()
        return free * 2 < usable

    def _census(self) -> tuple[int, int, int]:
        """Return how many slots are free, held open by a producer, and usable."""
        states = self._control[:, Line.STATE] & np.uint64(0xFF)
        free = int(np.count_nonzero(states <= SlotState.FREE))
        held = int(np.count_nonzero((states == SlotState.OPEN) & (self._control[:, Line.KIND] != Kind.PART)))
        return free, held, self._geometry.slots - int(np.count_nonzero(states == SlotState.UNUSABLE))

    def seal_dead(self, owner: int) -> None:
        """Take over the slots of a producer (`layout.pack_owner`) whose lease is free: nobody writes to them."""
        slots = self._ring.owner_slots(owner)
        states = {slot: self._ring.states[slot] for slot in slots}
        kinds = {slot: self._words[self._geometry.line_word(slot) + Line.KIND] for slot in slots}
        referenced: set[int] = set()
        for slot in slots:
            if kinds[slot] == Kind.HEAD and self._words[self._ring.count_word(slot)]:
                with contextlib.suppress(CorruptionError):
                    referenced.update(part for part, _ in self._chain(slot)[0])
        for slot in slots:
            state = states[slot] & 0xFF
            if state not in (SlotState.OPEN, SlotState.SEALED, SlotState.ABANDONED) and slot not in self._ahead:
                # No state that a slot can have, and nobody writes to it: whatever is in it is lost.
                self._ring.count_up(Header.DAMAGED_SLOTS, 1)
                self._free(slot)
            if state != SlotState.OPEN:
                continue
            if kinds[slot] == Kind.PART:
                if slot not in referenced:
                    self._free(slot)
            else:
                self._ring.seal_dead(slot, states[slot])

    def forget_producer(self, owner: int) -> set[RecordingKey]:
        """Return on which recordings a producer has logged whose entry is about to be freed, as far as is known."""
        return self._recordings.pop(owner, set())

    def waiting_rows(self) -> Counter[tuple[int, RecordingKey]]:
        """Count by producer and recording what sweeps would find, in a segment that is only looked at."""
        rows: Counter[tuple[int, RecordingKey]] = Counter()
        for slot in self._moved({}):
            sweep = Sweep(0)
            self._take(slot, sweep, None, resume=False)
            for taken in sweep.taken:
                for frame in taken.frames:
                    rows[sweep.owners[slot], frame.shape.recording] += frame.rows
            for table in sweep.rows:
                rows[sweep.owners[slot], table.shape.recording] += table.stop - table.start
        return rows

    def has_news(self) -> bool:
        """Say whether a sweep would find anything."""
        return bool(self._moved({}))

    # ---- which slots -----------------------------------------------------------------------------------------------

    def _done(self, snapshot: Any) -> Any:
        sweep = np.uint64(self._number)
        bits, mask = np.uint64(TAKEN_BITS), np.uint64(TAKEN_MASK)
        words = snapshot[:, [Line.TAKEN_A, Line.TAKEN_B]]
        return np.where(words >> bits <= sweep, words & mask, 0).max(axis=1)

    def _moved(self, taken: dict[int, int]) -> list[int]:
        """Return the slots that have something new, beginning where the last full sweep had to stop.

        `taken` is what the sweep in flight has: slot -> how far.
        """
        snapshot = self._control.copy()
        states = snapshot[:, Line.STATE] & np.uint64(0xFF)
        live = (states == SlotState.OPEN) | (states == SlotState.SEALED)
        done = self._done(snapshot)
        done[list(taken)] = list(taken.values())
        moved = np.flatnonzero(live & (snapshot[:, Line.COUNT] > done)).tolist()
        if self._damaged:
            moved = [s for s in moved if self._is_to_be_read(s, int(snapshot[s, Line.EPOCH]), int(states[s]))]
        first = self._first
        return [slot for slot in moved if slot >= first] + [slot for slot in moved if slot < first]

    def _is_to_be_read(self, slot: int, epoch: int, state: int) -> bool:
        """Say whether there is news in a slot: not in a damaged one, until its owner has let go of it."""
        if self._damaged.get(slot) != epoch:
            return True
        return state == SlotState.SEALED and self._given_up.get(slot, (None, 0))[0] != epoch

    def _is_given_up(self, slot: int, epoch: int) -> bool:
        """Say whether a sweep that is done has given up the rest of a damaged slot."""
        given_up = self._given_up.get(slot)
        return given_up is not None and given_up[0] == epoch and given_up[1] <= self._number

    def _in_flight(self) -> list[int]:
        return [slot for slot in range(self._geometry.slots) if self._ring.in_flight(slot, self._number) is not None]

    # ---- one slot --------------------------------------------------------------------------------------------------

    def _take(self, slot: int, sweep: Sweep, start: int | None, *, resume: bool) -> int | None:
        """Copy one slot's news into `sweep`, from `start` on, or from what is done on. Return how far it is taken."""
        line = self._geometry.line_word(slot)
        # State first, then count: what is below a count read after OPEN or SEALED belongs to that owner.
        state = self._words[line + Line.STATE]
        if state & 0xFF not in (SlotState.OPEN, SlotState.SEALED):
            return None
        stop = self._ring.in_flight(slot, self._number) if resume else self._words[line + Line.COUNT]
        kind, epoch = self._words[line + Line.KIND], self._words[line + Line.EPOCH]
        start = self._ring.done(slot, self._number) if start is None else start
        producer, _ = unpack_owner(state)
        if stop is None or stop <= start:
            return None
        if self._damaged.get(slot) == epoch:
            return self._give_up(slot, epoch, start, producer, sweep)
        try:
            if producer >= self._geometry.producers:
                raise CorruptionError(f"slot {slot} names producer {producer}")
            if kind == Kind.FRAMES:
                frames, stop, error = self._unpack_slot(slot, epoch, start, stop)
            elif kind == Kind.HEAD and stop == 1:
                frames, error = self._unpack_chain(slot, state)
            elif kind == Kind.TABLE:
                rows = self._copy_rows(slot, epoch, start, stop, self._scope(producer))
                sweep.rows.append(rows)
                sweep.owners[slot] = producer
                sweep.num_bytes += rows.num_bytes
                self._recordings[state & ~0xFF].add(rows.shape.recording)
                return stop
            else:
                raise CorruptionError(f"slot {slot} has a count but of {stop} but is of kind {kind}")
            if not frames and error is None:
                raise CorruptionError(f"slot {slot} has a count of {stop} and no rows")
        except CorruptionError as damage:
            frames, stop, error = [], start, damage
        if error is not None:
            self._damaged[slot] = epoch
            self._ring.count_up(Header.DAMAGED_SLOTS, 1)
            if kind == Kind.HEAD or stop <= start:
                # Of a sweep that is repeated, this one had given it up.
                let_go = state & 0xFF == SlotState.SEALED
                return self._give_up(slot, epoch, start, producer, sweep) if let_go or resume else None
        frames = [self._resolve(frame, sweep, state) for frame in frames]
        self._recordings[state & ~0xFF].update({frame.shape.recording for frame in frames})
        sweep.taken.append(TakenFrames(slot, epoch, start, stop, frames, self._scope(producer)))
        sweep.owners[slot] = producer
        copied = min(stop - start, self._geometry.slot_bytes)
        sweep.num_bytes += max(copied, sum(len(frame.body) for frame in frames))
        return stop

    def _give_up(self, slot: int, epoch: int, start: int, producer: int, sweep: Sweep) -> int:
        """Take a damaged slot that its owner has let go of to its end, and count the rows that this costs."""
        line = self._geometry.line_word(slot)
        count, rows = self._words[line + Line.COUNT], self._words[line + Line.ROWS]
        self._given_up[slot] = (epoch, sweep.number)
        if producer < self._geometry.producers:
            # What no slot can hold, its owner did not count.
            if self._words[line + Line.KIND] == Kind.TABLE:
                lost = min(count, self._geometry.slot_bytes // MIN_ROW_BYTES) - start
            else:
                most = self._geometry.slots * self._geometry.slot_bytes
                lost = min(rows, most) - self._rows_before(slot, start)
            sweep.given_up[slot] = max(0, lost)
            sweep.owners[slot] = producer
        return min(count, TAKEN_MASK)

    def _rows_before(self, slot: int, stop: int) -> int:
        """Return how many rows lie in a frame slot before `stop`, up to where it has been read."""
        is_read = self._words[self._geometry.line_word(slot) + Line.KIND] == Kind.FRAMES
        if not is_read or not 0 < stop <= self._geometry.slot_bytes:
            return 0
        offset = self._geometry.slot_offset(slot)
        frames, _, _ = unpack_frames(self._copy(offset, offset + stop), 0, {}, known=self._known)
        return sum(frame.rows for frame in frames)

    def _copy(self, start: int, stop: int) -> memoryview:
        """Copy bytes of the segment into memory of our own, aligned as Arrow wants it."""
        view = np.empty(stop - start, dtype=np.uint8).data
        view[:] = self._ring.memory[start:stop]
        return view.toreadonly()

    def _unpack_slot(
        self, slot: int, epoch: int, start: int, stop: int
    ) -> tuple[list[RowsFrame], int, CorruptionError | None]:
        if stop > self._geometry.slot_bytes:
            raise CorruptionError(f"slot {slot} claims {stop} bytes")
        offset = self._geometry.slot_offset(slot)
        known_epoch, shapes = self._shapes.get(slot, (-1, {}))
        if known_epoch != epoch:
            shapes = {}
            if start:
                # A new collector: the shapes were declared in what an earlier one has taken.
                unpack_frames(self._copy(offset, offset + start), 0, shapes, known=self._known)
            self._shapes[slot] = (epoch, shapes)
        self._bound_known(stop)
        return unpack_frames(self._copy(offset + start, offset + stop), start, shapes, known=self._known)

    def _bound_known(self, num_bytes: int) -> None:
        """Forget the shapes that are known, if they may be large: as many bytes as were read since are about to be."""
        self._known_bytes = self._known_bytes + num_bytes if self._known else 0
        if self._known_bytes > MAX_KNOWN_BYTES:
            self._known.clear()

    def _scope(self, producer: int) -> int:
        return self._words[self._geometry.producer_word(producer) + ProducerWord.SCOPE]

    def _copy_rows(self, slot: int, epoch: int, start: int, stop: int, scope: int) -> TakenRows:
        offset, slot_bytes = self._geometry.slot_offset(slot), self._geometry.slot_bytes
        known = self._tables.get(slot)
        if known is None or known[0] != epoch:
            head = self._copy(offset, offset + PAGE)
            if head_bytes(head) > PAGE:
                head = self._copy(offset, offset + slot_bytes // 4)
            known = (epoch, *unpack_head(head, slot_bytes), [])
            self._tables[slot] = known
        _, shape, plan, texts = known
        rows = (slot, epoch, start, stop)
        return copy_rows(self._ring.memory, offset, slot_bytes, shape, plan, rows, texts, scope)

    def _chain(self, slot: int) -> tuple[list[tuple[int, int]], int, int]:
        offset = self._geometry.slot_offset(slot)
        slots, capacity = self._geometry.slots, self._geometry.slot_bytes
        return unpack_chain(self._copy(offset, offset + min(preamble_bytes(slots), capacity)), slots, capacity)

    def _unpack_chain(self, slot: int, state: int) -> tuple[list[RowsFrame], CorruptionError | None]:
        parts, total, begin = self._chain(slot)
        for part, epoch in parts:
            if not self._is_part(part, epoch, state):
                raise CorruptionError(f"slot {part} is no part of the chain that begins in slot {slot}")
        self._bound_known(total)
        capacity = self._geometry.slot_bytes
        message = np.empty(total, dtype=np.uint8).data
        at = 0
        for number, first in ((slot, begin), *((part, 0) for part, _ in parts)):
            n = min(capacity - first, total - at)
            offset = self._geometry.slot_offset(number) + first
            message[at : at + n] = self._ring.memory[offset : offset + n]
            at += n
        # The frame's padding was never written; its bytes are whatever was there, and nobody reads them.
        frames, _, error = unpack_frames(message.toreadonly(), 0, {}, known=self._known)
        return ([] if error else frames), error

    def _is_part(self, slot: int, epoch: int, head: int) -> bool:
        """Say whether a slot can be a part of a chain whose head has this state word."""
        line = self._geometry.line_word(slot)
        return (
            self._words[line + Line.STATE] == head & ~0xFF | SlotState.OPEN
            and self._words[line + Line.KIND] == Kind.PART
            and self._words[line + Line.EPOCH] & EPOCH_MASK == epoch
        )

    def _resolve(self, frame: RowsFrame, sweep: Sweep, state: int) -> RowsFrame:
        """Put the contents of a spool file in the place of the frame that names it; nothing, if it cannot be read."""
        if frame.kind != FrameKind.FILE:
            return frame
        body = memoryview(b"")
        kind = FrameKind.ROWS
        if len(frame.body) > FILE_REFERENCE.size:
            number, size = FILE_REFERENCE.unpack_from(frame.body)
            name = bytes(frame.body[FILE_REFERENCE.size :]).decode("utf-8", "replace")
            # Only what the slot's owner makes: another one's file is another one's row.
            owner, generation = unpack_owner(state)
            is_ours = name.startswith(f"{LARGE_FILE_PREFIX}{owner}-{generation}-") and not {"/", "\0"} & {*name}
            if number in (FrameKind.ROWS, FrameKind.STREAM) and is_ours:
                kind = FrameKind(number)
                path = os.path.join(self._spool, name)
                body = _read_private(path, min(size, MAX_FILE_BYTES))
                sweep.files.append(path)
        return replace(frame, kind=kind, body=body)

    # ---- freeing ---------------------------------------------------------------------------------------------------

    def _has_no_more(self, slot: int) -> bool:
        """Say whether a slot that its owner has let go of is delivered to its end."""
        is_abandoned = self._ring.states[slot] & 0xFF == SlotState.ABANDONED
        return is_abandoned or self._ring.done(slot) >= self._words[self._ring.count_word(slot)]

    def _free_with_parts(self, slot: int) -> None:
        line = self._geometry.line_word(slot)
        if self._words[line + Line.KIND] == Kind.HEAD and self._words[line + Line.COUNT]:
            with contextlib.suppress(CorruptionError):
                for part, epoch in self._chain(slot)[0]:
                    if self._is_part(part, epoch, self._words[line + Line.STATE]):
                        self._free_part(part)
        self._free(slot)

    def _free_part(self, slot: int) -> None:
        """Free a part of a chain. Once its epoch has changed its head no longer knows it: so it says so itself."""
        self._ring.states[slot] = self._ring.states[slot] & ~0xFF | SlotState.ABANDONED
        self._free(slot)

    def _free(self, slot: int) -> None:
        self._damaged.pop(slot, None)
        self._given_up.pop(slot, None)
        self._shapes.pop(slot, None)
        self._tables.pop(slot, None)
        self._ring.free(slot)


def _read_private(path: str, size: int) -> memoryview:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return memoryview(b"")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return memoryview(b"")
        with open(descriptor, "rb", closefd=False) as file:
            return memoryview(file.read(size))
    except OSError:
        return memoryview(b"")
    finally:
        os.close(descriptor)
