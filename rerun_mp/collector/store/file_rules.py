"""Applies the rules of a store's file to the chunks that come to the store, and counts the rows that they hold back.

A new collector repeats the sweep that its predecessor died in, and its rules would choose other rows. So chunks of that
sweep that are in a file stay as they are there: the file has each row once, and the count is exact.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.rules import RuleBook
from rerun_mp.collector.store.drops import KnownProducers
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part
from rerun_mp.collector.store.rerun_sdk import chunks_of_batch
from rerun_mp.encoding.log_messages import batch_of
from rerun_mp.session.accounts import Reason
from rerun_mp.session.rules import RuleValues

__all__ = ["BacklogRules", "FileRules"]


class FileRules:
    """The rules of the file that a store writes at present. Without any, chunks pass as they are."""

    def __init__(self, journal: Journal, chunks: FlushedChunks, first_rows: Callable[[], Iterable[int]]) -> None:
        self._journal = journal
        self._chunks = chunks
        self._producers = KnownProducers(first_rows)
        self._values: tuple[RuleValues, ...] = ()
        self._book: RuleBook | None = None
        self._sweep_ids: set[str] = set()
        """Ids of the present sweep's chunks."""
        self._is_first_sweep = True
        """Whether this life has begun no sweep yet."""
        self._backlog_ids: set[str] = set()
        """Ids of the chunks that came before the file: the sweep that is repeated may have some of them."""
        self._in_files: dict[str, Any] = {}
        """Id of a chunk of the repeated sweep that is in a file -> its record batch there."""

    def begin(self, chunk_ids: set[str]) -> set[str]:
        """Note that a sweep comes, and return the ids that its chunks may have in the store."""
        book = self._present()
        ids = chunk_ids if book is None else chunk_ids | {book.renamed(one) for one in chunk_ids}
        self._in_files.clear()
        if self._is_first_sweep:
            self._chunks.note_repeated(ids)
        if self._is_first_sweep and self._chunks.begin and book is not None:
            self._in_files = {one: batch_of(payload) for one, payload in self._chunks.inherited_of(ids)}
        self._backlog_ids &= chunk_ids if self._is_first_sweep else set()
        self._sweep_ids, self._is_first_sweep = chunk_ids, False
        return ids

    def kept(self, chunks: Sequence[ChunkBatch]) -> Sequence[ChunkBatch]:
        """Return the chunks that the file gets. The journal counts the other rows before the file has any of them."""
        book = self._present()
        if book is None:
            return chunks
        version = self._journal.drops.version
        found = [kept for chunk in chunks if (kept := self._kept(book, chunk)) is not None]
        if self._journal.drops.version != version:
            self._journal.save_held()
        return found

    def for_backlog(self) -> BacklogRules:
        """Return the rules for chunks that came before the file."""
        return BacklogRules(self._present(), self._journal, self._producers, self._backlog_ids)

    def _kept(self, book: RuleBook, chunk: ChunkBatch) -> ChunkBatch | None:
        if chunk.chunk_id in self._in_files or chunk.chunk_id in self._backlog_ids:
            return None
        is_of_sweep = chunk.chunk_id in self._sweep_ids
        in_file = self._in_files.get(book.renamed(chunk.chunk_id)) if self._in_files else None
        if in_file is not None:
            self._count(chunk.entity_path, chunk.batch, in_file, is_of_sweep=is_of_sweep)
            return None
        batch = book.kept_of(chunk.batch)
        if batch is chunk.batch:
            return chunk
        self._count(chunk.entity_path, chunk.batch, batch, is_of_sweep=is_of_sweep)
        return None if batch is None else replace(chunk, chunk_id=_id_of(batch), batch=batch, num_bytes=batch.nbytes)

    def _count(self, entity_path: str, batch: Any, kept: Any, *, is_of_sweep: bool) -> None:
        held = self._producers.count(entity_path, batch)
        if kept is not None:
            held -= self._producers.count(entity_path, kept)
        self._journal.drops.add(Reason.RULES, held, is_of_sweep=is_of_sweep)

    def _present(self) -> RuleBook | None:
        """Return the rules of the present file; None if it has none."""
        target = self._journal.target
        values = () if target is None else target.rules
        if values != self._values:
            self._values = values
            self._book = RuleBook(values, self._journal.recording) if values else None
        return self._book


class BacklogRules:
    """The rules of a file for chunks that came before it. What they hold back counts once the file has the rest."""

    def __init__(self, book: RuleBook | None, journal: Journal, producers: KnownProducers, ids: set[str]) -> None:
        """Apply `book`, if there is one. `ids` gets the ids of the chunks."""
        self._book = book
        self._journal = journal
        self._producers = producers
        self._ids = ids
        self._seen: set[str] = set()
        self._held: Counter[int] = Counter()
        self.left_out = 0
        """Number of chunks of which the file gets nothing."""

    def kept(self, part: Part) -> Iterator[Any]:
        """Yield what the file gets of a part, as rerun's chunks: all chunks, unless it is backlog."""
        for _, chunk in part.read():
            if not part.is_backlog or self._book is None:
                yield chunk
                continue
            if chunk.id in self._seen:  # a collector has repeated the sweep that its predecessor died in
                self.left_out += 1
                continue
            self._seen.add(chunk.id)
            self._ids.add(chunk.id)
            batch = chunk.to_record_batch()
            kept = self._book.kept_of(batch)
            if kept is batch:
                yield chunk
                continue
            self._held += self._producers.count(chunk.entity_path, batch)
            if kept is None:
                self.left_out += 1
            else:
                self._held -= self._producers.count(chunk.entity_path, kept)
                yield from chunks_of_batch(kept)

    def count(self) -> None:
        """Count the rows that are held back. The caller saves the journal, together with the new list of parts."""
        if self._held:
            self._journal.drops.add(Reason.RULES, self._held, is_of_sweep=False)
            self._held = Counter()


def _id_of(batch: Any) -> str:
    return str(batch.schema.metadata[b"rerun:id"].decode())
