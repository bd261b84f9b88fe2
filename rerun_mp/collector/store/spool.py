"""The bound of a store's spool, and the count of rows that the store gives up. Used in the worker's main thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import numpy as np

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store.drops import count_by_producer
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part
from rerun_mp.session.accounts import Reason

__all__ = ["Spool"]

PARTS_OF_BOUND = 8
"""A part of the spool ends at this share of the spool's bound, so that one drop frees no more than that."""
MIN_PART_BYTES = 1 << 20


class Spool:
    """The parts of a store that lie in its spool directory."""

    def __init__(
        self, journal: Journal, chunks: FlushedChunks, max_bytes: int, first_rows: Callable[[], Iterable[int]]
    ) -> None:
        self._journal = journal
        self._chunks = chunks
        self._max_bytes = max_bytes
        self._first_rows = first_rows
        self._sweep_ids: set[str] = set()
        """Ids of the present sweep's chunks: a collector that repeats the sweep sends them again."""

    def begin_sweep(self, sweep: int, chunk_ids: set[str]) -> None:
        """Note which chunks come with a sweep, perhaps for the second time."""
        self._journal.drops.begin(sweep)
        self._sweep_ids = chunk_ids

    def is_large(self, part: Part) -> bool:
        """Whether `part` should end, and the next one begin."""
        return part.size() >= max(self._max_bytes // PARTS_OF_BOUND, MIN_PART_BYTES)

    def drop_beyond_bound(self, written: Part | None = None) -> None:
        """Drop the oldest parts except `written`, which is being written, until the spool is within its bound."""
        while sum(part.size() for part in self._journal.parts if part.is_spooled) > self._max_bytes:
            self.drop_oldest(written)

    def drop_oldest(self, written: Part | None = None) -> None:
        """Drop the oldest part except `written`, which is being written, and count its rows."""
        oldest = next((part for part in self._journal.parts if part.is_spooled and part is not written), None)
        if oldest is None:
            return
        self.count_part(Reason.SPOOL, oldest)
        with self._chunks.lock:
            self._journal.parts.remove(oldest)
        self._journal.save()
        oldest.unlink()

    def count_part(self, reason: Reason, part: Part) -> None:
        """Count the rows of a part that is given up, unless a sink has them. The caller saves the journal."""
        seen = self._chunks.end if self._chunks.is_elsewhere else self._chunks.seen
        since = seen if part.purpose in ("live", "window") else 0
        self.count(reason, [chunk for _, chunk in part.read(since)], elsewhere=self._ids_after(part))

    def count(self, reason: Reason, chunks: Iterable[Any], elsewhere: Collection[str] = ()) -> None:
        """Count the rows of chunks that are given up, ours or rerun's, by their producers.

        The caller saves the journal once, after it has removed the chunks' part from it. Chunks with an id in
        `elsewhere` are not counted.
        """
        firsts = np.array(sorted(self._first_rows()), np.uint64)
        for chunk in chunks:
            is_ours = isinstance(chunk, ChunkBatch)
            chunk_id = chunk.chunk_id if is_ours else chunk.id
            if chunk_id not in elsewhere:
                batch = chunk.batch if is_ours else chunk.to_record_batch()
                rows = count_by_producer(chunk.entity_path, batch, firsts)
                self._journal.drops.add(reason, rows, is_of_sweep=chunk_id in self._sweep_ids)

    def _ids_after(self, part: Part) -> set[str]:
        """Return the ids of the chunks that later parts have, or that come with the present sweep.

        Each life of the collector repeats the end of the one before.
        """
        if not part.is_inherited:
            return set()
        later = self._journal.parts[self._journal.parts.index(part) + 1 :]
        return {*self._sweep_ids, *(chunk.id for other in later for _, chunk in other.read())}
