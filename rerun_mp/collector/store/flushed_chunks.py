"""The flushed chunks of a store, in order: what its live sinks read.

Each chunk has an ordinal, counted in the order of appending. A reader gives the last ordinal that it has read, and gets
the chunks after it as messages, in the form that they have in the parts and that servers take. The latest chunks are
also kept in memory, once for all live sinks, because some parts cannot be read back: a pipe, or a file that the user
has moved.

The worker's main thread adds; any thread may read.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store.drops import OWN_ENTITIES
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part, Purpose
from rerun_mp.collector.store.statics import Statics
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.log_messages import chunk_id_of, chunk_message, identity_of, rows_in_chunk

__all__ = ["Flushed", "FlushedChunks"]

RECENT_BYTES = 32 << 20
"""Maximum bytes of chunks kept in memory while live sinks follow."""
MAX_MARKS = 4096
"""Number of flushes for which `behind` counts rows exactly."""
MAX_COUNTS = 1 << 17
"""Number of chunks whose rows are remembered. Those of older chunks are counted by reading them."""
MAX_OWN_CHUNKS = 64
"""Maximum number of chunks of the collector itself after the chunks of its last sweep."""
COUNTING_SECS = 0.5
"""Maximum seconds to count the rows that an earlier life of the collector has stored."""


class Flushed(NamedTuple):
    """A flushed chunk, as a reader gets it."""

    ordinal: int
    payload: bytes
    """Its message in an .rrd file, see `encoding.log_messages`."""
    rows: int
    """Number of its rows that processes logged."""
    is_carried: bool = False
    """Whether it has static data of parts that are gone. Its ordinal is that of the chunk after it, and `rows` is 0."""


class FlushedChunks:
    """The flushed chunks, and how many of them each viewer has."""

    def __init__(self, journal: Journal) -> None:
        self.lock = threading.Lock()
        """Guards the journal's list of parts, the recent chunks and the marks. The main thread alone changes them."""
        self.end = journal.next_ordinal()
        """The ordinal after the last flushed chunk."""
        self.followers = 0
        """Number of live sinks that follow."""
        self.was_followed = False
        """Whether a live sink has followed in this life."""
        self.seen = 0
        """Ordinal up to which some viewer has acknowledged everything."""
        self.begin = self.end
        """Ordinal of the first chunk of this life of the collector."""
        self.rows = 0
        """Rows that processes logged and that were flushed in this life, without those that were stored before."""
        self.is_elsewhere = False
        """Whether sinks with stores of their own take all later rows, and no sink of this store does."""
        self.statics: Statics | None = None
        """The static chunks of a file that rotates."""
        self._counts: deque[int] = deque(maxlen=MAX_COUNTS)
        """Rows of each of the last chunks."""
        self._rows_before = 0
        """Rows that this life had stored before the present file, without those that the file has begun with."""
        self._is_file_known = True
        """Whether that number is exact."""
        self._repeated: frozenset[str] = frozenset()
        """Ids of chunks that an earlier life has stored, and that come again."""
        self._inherited_rows: tuple[int, bool] | None = (0, True) if self.begin == 0 else None
        self._journal = journal
        self._recent: deque[tuple[int, ChunkBatch]] = deque()
        self._recent_bytes = 0
        self._marks: deque[tuple[int, int]] = deque([(self.end, 0)], maxlen=MAX_MARKS)
        """(ordinal of the next chunk, `rows` then), after each of the last flushes."""

    def add(self, part: Part, chunks: Sequence[ChunkBatch], num_bytes: int) -> None:
        """Add chunks that have been flushed into `part`. `num_bytes` is their size."""
        with self.lock:
            if self.followers:
                self._recent.extend(enumerate(chunks, self.end))
                self._recent_bytes += num_bytes
                while self._recent and self._recent_bytes > RECENT_BYTES:
                    self._recent_bytes -= self._recent.popleft()[1].num_bytes
            if self.statics is not None:
                self.statics.note(self.end, chunks)
            counts = [0 if chunk.entity_path.startswith(OWN_ENTITIES) else chunk.num_rows for chunk in chunks]
            self._counts.extend(counts)
            self.rows += sum(counts)
            if self._repeated:  # only after a kill: a sweep may have thousands of chunks
                self.rows -= sum(n for n, one in zip(counts, chunks, strict=True) if one.chunk_id in self._repeated)
            part.chunks += len(chunks)
            self.end += len(chunks)
            self._marks.append((self.end, self.rows))

    def add_part(self, part: Part) -> None:
        """Add a part that is complete, before any other chunk. Its chunks come first."""
        with self.lock:
            part.first = self.end
            self._journal.parts.append(part)
            self.end = self.begin = part.stop
            self._inherited_rows = None
            self._marks.append((self.end, self._marks[-1][1]))

    @property
    def written(self) -> RecordingKey:
        """The recording that the present file holds: the store's, or the one of the file that goes on."""
        return self._journal.written

    @property
    def purpose(self) -> Purpose:
        """What the chunks are kept for while no file takes them."""
        return "window" if self.is_elsewhere else "live" if self.followers else "buffer"

    @property
    def is_for_file(self) -> bool:
        """Whether they are written to the user's file."""
        return self._journal.target is not None

    @property
    def is_ruled(self) -> bool:
        """Whether the rules of the user's file may hold rows back."""
        return self._journal.target is not None and bool(self._journal.target.rules)

    @property
    def held_rows(self) -> int:
        """Rows that the rules of the store's files hold back."""
        return self._journal.drops.held_rows()

    def completed_files(self, until: int) -> list[str]:
        """Return the complete files with chunks before ordinal `until` that still lie at their paths."""
        retired = [part for part in self._journal.parts if part.purpose == "retired" and part.first < until]
        return [part.path for part in retired if part.exists()]

    def unsent(self) -> list[Part]:
        """Return the parts with rows for live sinks that none of these has acknowledged."""
        return [part for part in self._journal.parts if part.purpose == "live" and part.stop > self.seen]

    def flushed_of(self, since: int, ids: Collection[str]) -> list[tuple[int, str, int]]:
        """Return (ordinal, id, rows) of the chunks from ordinal `since` on, up to the first one that is not in `ids`.

        Chunks that are not in memory any more are left out.
        """
        found: list[tuple[int, str, int]] = []
        with self.lock:
            if self.end - since > len(self._recent):
                return found
            for at in range(since - self.end, min(0, since - self.end + len(ids))):
                ordinal, chunk = self._recent[at]
                if ordinal != self.end + at or chunk.chunk_id not in ids:
                    break
                found.append((ordinal, chunk.chunk_id, self._counts[at]))
        return found

    def inherited_of(self, ids: Collection[str]) -> Iterator[tuple[str, bytes]]:
        """Yield (id, message) of the chunks with these ids among the last ones that the life before has stored."""
        wanted = {identity_of(one): one for one in ids}
        for chunk in self.read(max(0, self.begin - len(ids) - MAX_OWN_CHUNKS)):
            if chunk.ordinal >= self.begin:
                return
            found = wanted.get(chunk_id_of(chunk.payload))
            if found is not None:
                yield found, chunk.payload

    def note_repeated(self, ids: Collection[str]) -> None:
        """Note that chunks with these ids come. Those that the life before has stored are not counted again."""
        self._repeated = frozenset(found for found, _ in self.inherited_of(ids)) if self.begin else frozenset()

    def before_sinks(self) -> Iterator[ChunkBatch]:
        """Yield the chunks that came before any sink was set. A chunk that a next life has stored again comes once."""
        seen: set[str] = set()
        for part in [part for part in self._journal.parts if part.purpose == "buffer"]:
            for _, chunk in part.read():
                if chunk.id in seen:
                    continue
                seen.add(chunk.id)
                batch = chunk.to_record_batch()
                yield ChunkBatch(self._journal.recording, chunk.entity_path, chunk.id, batch, batch.nbytes)

    def follow(self) -> None:
        """Note that a live sink follows."""
        self.followers += 1
        self.was_followed = True

    def forget_recent(self) -> None:
        """Free the chunks in memory: no live sink follows."""
        with self.lock:
            self._recent.clear()
            self._recent_bytes = 0

    def note_seen(self, ordinal: int) -> None:
        """Note that a viewer has everything before `ordinal`. Any thread may call."""
        with self.lock:
            self.seen = max(self.seen, ordinal)

    def behind(self, ordinal: int) -> tuple[int, int]:
        """Return how many chunks and rows follow an ordinal. A chunk older than the marks counts as one row."""
        with self.lock:
            marks = list(self._marks)
        chunks = max(0, self.end - ordinal)
        begin = next((mark for mark in marks if mark[0] >= ordinal), marks[-1])
        return chunks, min(chunks, begin[0] - ordinal if begin[0] > ordinal else 0) + marks[-1][1] - begin[1]

    def begin_file(self, backlog: Sequence[Part]) -> None:
        """Note that a file begins, with the chunks in these parts, the last ones stored."""
        count = self.end - backlog[0].first if backlog else 0
        self._rows_before = self.rows - sum(list(self._counts)[len(self._counts) - count :])
        self._is_file_known = not count or (count <= len(self._counts) and not self.is_ruled)

    def known_rows(self) -> int | None:
        """Return how many rows the present or last file has; None if only the file itself tells.

        That is so if an earlier life has stored some, if rules apply to rows that came before, or if rows were dropped.
        """
        is_known = self._is_file_known and self.begin == 0 and not self._journal.drops.lost_rows()
        return self.rows - self._rows_before if is_known else None

    def rows_until(self, rows: int) -> tuple[int, bool]:
        """Return how many rows all lives had stored when this one had stored `rows`, and whether that is exact.

        The first call may read what an earlier life has stored, for at most `COUNTING_SECS`.
        """
        if self._inherited_rows is None:
            self._inherited_rows = self._count_inherited()
        inherited, is_exact = self._inherited_rows
        return inherited + rows, is_exact

    def _count_inherited(self) -> tuple[int, bool]:
        deadline = time.monotonic() + COUNTING_SECS
        found: dict[bytes, int] = {}
        for chunk in self.read():
            if chunk.ordinal >= self.begin:
                break
            if time.monotonic() > deadline:
                return sum(found.values()), False
            found[chunk_id_of(chunk.payload)] = chunk.rows
        return sum(found.values()), True

    def read(self, since: int = 0) -> Iterator[Flushed]:
        """Yield the chunks from ordinal `since` to the last one that was flushed at the call.

        Ordinals ascend. There are gaps where parts are gone: dropped, removed by a `Rotation`, or moved away by the
        user. After a gap come the static chunks with which the next part begins.
        """
        end = self.end
        is_second_try = False
        is_gap = since == 0
        while since < end:
            with self.lock:
                recent = list(self._recent)
                part = min((part for part in self._journal.parts if part.stop > since), key=_first_of, default=None)
            is_recent = bool(recent) and recent[0][0] <= since
            if is_recent and (part is None or not part.is_readable()):
                for ordinal, chunk in recent:
                    if ordinal >= since:
                        payload = chunk_message(chunk.recording, chunk.chunk_id, chunk.batch)
                        yield Flushed(ordinal, payload, self._rows_of(ordinal, payload))
                return
            if part is None:
                return
            if is_gap or since < part.first:
                yield from (Flushed(part.first, payload, 0, is_carried=True) for payload in part.read_carried())
                since, is_gap = max(since, part.first), False
            # One part at a time: meanwhile parts may be merged into another, which then holds the next chunk.
            begin = since
            for ordinal, payload in part.read_messages(since):
                since = ordinal + 1
                yield Flushed(ordinal, payload, self._rows_of(ordinal, payload))
            if since >= part.stop or since > begin:
                is_second_try = False
            elif is_second_try or self._has_lost(part):
                lost_until = recent[0][0] if recent and since < recent[0][0] < part.stop else part.stop
                since, is_second_try, is_gap = lost_until, False, True
            else:
                is_second_try = True

    def _rows_of(self, ordinal: int, payload: bytes) -> int:
        with self.lock:
            at = ordinal - self.end
            if -len(self._counts) <= at < 0 and ordinal >= self.begin:
                return self._counts[at]
        try:
            path, rows = rows_in_chunk(payload)
        except (ValueError, KeyError, OSError):
            return 0
        return 0 if path.startswith(OWN_ENTITIES) else rows

    def _has_lost(self, part: Part) -> bool:
        with self.lock:
            return any(one is part for one in self._journal.parts) and not part.is_readable()


def _first_of(part: Part) -> int:
    return part.first
