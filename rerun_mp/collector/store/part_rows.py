"""Counts the rows of the present part of a file that rotates. Used by the store, in the worker's main thread."""

from __future__ import annotations

from collections.abc import Sequence

from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part, count_logged_rows

__all__ = ["PartRows"]


class PartRows:
    """The rows of the present part that processes logged.

    A part's rows are counted as they are stored. Sometimes the complete part alone tells how many it has, and is read:
    if an earlier life has begun it, if rows were given up, or if rows that came before it could not be copied to it
    when it began, because its rules may hold some of them back.
    """

    def __init__(self, journal: Journal, chunks: FlushedChunks) -> None:
        self._journal = journal
        self._chunks = chunks
        self._before = 0
        """Rows that this life has stored before the present part began."""
        self._is_inherited = journal.series is not None
        """Whether an earlier life has begun the present part."""
        self._inherited: int | None = None
        """Rows in the present part that earlier lives have stored; None: nothing has counted them."""
        self._is_backlog_waiting = False
        """Whether rows that came before the present part are not in it yet."""
        self._given_up = 0
        """Rows that the store had given up when the present part began."""

    def begin(self) -> None:
        """Begin to count the rows of another part."""
        self._is_inherited, self._inherited, self._before = False, 0, self._chunks.rows
        self._is_backlog_waiting, self._given_up = False, self._journal.drops.lost_rows()

    def take_earlier(self, parts: Sequence[Part]) -> None:
        """Count the rows that came before the file. It has just begun, with these parts."""
        self._before -= count_logged_rows(parts)
        self._is_backlog_waiting = any(part.is_backlog for part in parts)

    def until_now(self, parts: Sequence[Part]) -> int:
        """Return how many rows all lives have stored in the present part, which has these parts.

        The first call of a life may read what an earlier life has stored.
        """
        if self._inherited is None:
            self._inherited = count_logged_rows([part for part in parts if part.is_inherited and self._is_inherited])
        return self._inherited + self._chunks.rows - self._before

    def of_complete(self, path: str) -> int:
        """Return the number of rows in the present part, which has just been completed at `path`."""
        part = next((one for one in reversed(self._journal.parts) if one.path == path), None)
        if part is None:
            return 0
        has_lost = self._journal.drops.lost_rows() != self._given_up
        is_known = not (self._is_inherited or self._is_backlog_waiting or has_lost)
        return self._chunks.rows - self._before if is_known else part.count_logged_rows()
