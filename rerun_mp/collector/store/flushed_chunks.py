"""The flushed chunks of a store, in order: what its live sinks read.

Each chunk has an ordinal, counted in the order of appending. A reader that knows the last ordinal it saw gets what
follows. The latest chunks lie in memory, once for all live sinks; older ones are read back from the parts.

The worker's main thread adds; any thread may read.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part

__all__ = ["FlushedChunks"]

RECENT_BYTES = 32 << 20
"""Maximum bytes of chunks kept in memory while live sinks follow."""
MAX_MARKS = 4096
"""Number of flushes for which `behind` counts rows exactly."""


class FlushedChunks:
    """The flushed chunks, and how many of them each viewer has."""

    def __init__(self, journal: Journal) -> None:
        self.lock = threading.Lock()
        """Guards the journal's list of parts, the recent chunks and the marks. The main thread alone changes them."""
        self.end = journal.next_ordinal()
        """The ordinal after the last flushed chunk."""
        self.followers = 0
        """Number of live sinks that follow."""
        self.seen = 0
        """Ordinal up to which some viewer has everything."""
        self._journal = journal
        self._recent: deque[tuple[int, ChunkBatch]] = deque()
        self._recent_bytes = 0
        self._marks: deque[tuple[int, int]] = deque([(self.end, 0)], maxlen=MAX_MARKS)
        """(ordinal of the next chunk, rows flushed in this life until then), after each of the last flushes."""

    def add(self, part: Part, chunks: Sequence[ChunkBatch], num_bytes: int) -> None:
        """Add chunks that have been flushed into `part`. `num_bytes` is their size."""
        with self.lock:
            if self.followers:
                self._recent.extend(enumerate(chunks, self.end))
                self._recent_bytes += num_bytes
                while self._recent and self._recent_bytes > RECENT_BYTES:
                    self._recent_bytes -= self._recent.popleft()[1].num_bytes
            part.chunks += len(chunks)
            self.end += len(chunks)
            self._marks.append((self.end, self._marks[-1][1] + sum(chunk.num_rows for chunk in chunks)))

    def add_part(self, part: Part) -> None:
        """Add a part that is complete, before any other chunk. Its chunks come first."""
        with self.lock:
            part.first = self.end
            self._journal.parts.append(part)
            self.end = part.stop
            self._marks.append((self.end, self._marks[-1][1]))

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

    def read(self, since: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield (ordinal, chunk) from ordinal `since` to the last chunk that was flushed at the call.

        Ordinals ascend. There are gaps where parts are gone: dropped, or moved away by the user.
        """
        end = self.end
        is_second_try = False
        while since < end:
            with self.lock:
                recent = list(self._recent) if self._recent and self._recent[0][0] <= since else []
                part = min((part for part in self._journal.parts if part.stop > since), key=_first_of, default=None)
            if recent:
                yield from (entry for entry in recent if entry[0] >= since)
                return
            if part is None:
                return
            # One part at a time: meanwhile parts may be merged into another, which then holds the next chunk.
            begin = since
            for ordinal, chunk in part.read(since):
                since = ordinal + 1
                yield ordinal, chunk
            if since >= part.stop or since > begin:
                is_second_try = False
            elif is_second_try or self._has_lost(part):
                since, is_second_try = part.stop, False
            else:
                is_second_try = True

    def _has_lost(self, part: Part) -> bool:
        with self.lock:
            return any(one is part for one in self._journal.parts) and not part.is_readable()


def _first_of(part: Part) -> int:
    return part.first
