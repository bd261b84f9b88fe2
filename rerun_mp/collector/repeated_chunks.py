"""Counts a row once that a collector has sent to a server and its successor has stored and sent again.

Belongs to one live sink's thread.
"""

from __future__ import annotations

from collections.abc import Callable

from rerun_mp.collector.store.flushed_chunks import FlushedChunks

__all__ = ["RepeatedChunks"]

MAX_REPEATED = 20_000
"""Number of a life's first chunks that are compared with those of the life before, because they may repeat them. A
sweep has fewer."""


class RepeatedChunks:
    """The chunks of which a live sink's server has got a copy."""

    def __init__(self, chunks: FlushedChunks) -> None:
        self._chunks = chunks
        self._ids: set[bytes] = set()
        """Ids of the chunks that an earlier life of the collector stored, and of the first ones of this life."""

    def new_rows(self, ordinal: int, rows: int, identity: Callable[[], bytes]) -> int:
        """Return the rows of a chunk; 0 if the server has got a chunk of this identity before."""
        if ordinal >= self._chunks.begin + MAX_REPEATED or not self._chunks.begin:
            return rows
        found = identity()
        if found in self._ids:
            return 0
        self._ids.add(found)
        return rows

    def clear(self) -> None:
        """Forget all: the server was started anew."""
        self._ids.clear()
