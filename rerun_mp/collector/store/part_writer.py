"""Writes the part that a store's chunks go to at present.

Unflushed chunks stay in memory, so that they can be sent again to another part when this one fails. A file
that does not grow while it is flushed has failed; its writer is abandoned, because closing it could hang.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.messages import say
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.file_rules import BacklogRules
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.parts import Part, Purpose
from rerun_mp.collector.store.rerun_files import merge, read_file
from rerun_mp.collector.store.rerun_sdk import Chunk, chunks_in
from rerun_mp.collector.store.rerun_sinks import SinkWriter, chunk_of, open_file
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import SinkSpec

__all__ = ["FLUSH_SECS", "PartWriter", "open_part"]

FLUSH_SECS = 30.0
"""Maximum seconds for a flush."""
STALLED_SECS = 5.0
"""Seconds without growth after which a file that is being flushed has failed."""
FOOTER_BYTES_PER_CHUNK = 512
"""Upper bound of what a chunk adds to a file's footer."""


class PartWriter:
    """The writing end of a store: at most one part at a time."""

    def __init__(self, journal: Journal, chunks: FlushedChunks, directory: Path) -> None:
        self.part: Part | None = None
        """The part that is being written."""
        self.writer: SinkWriter | None = None
        self.unflushed: list[ChunkBatch] = []
        self.unflushed_bytes = 0
        self.failure: str | None = None
        """Why the user's file takes no rows, or None."""
        self._journal = journal
        self._chunks = chunks
        self.directory = directory
        """The store's directory in the spool."""

    @property
    def purpose(self) -> Purpose | None:
        """The purpose of the part that is being written, or None."""
        return self.part.purpose if self.part else None

    def make_directory(self) -> None:
        """Create the store's spool directory, readable by its user only."""
        for directory in (self.directory.parent.parent, self.directory.parent, self.directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open(self, purpose: Purpose) -> bool:
        """Begin a new part. On failure say why, and leave no writer."""
        target = self._journal.target if purpose == "file" else None
        number = self._journal.take_number()
        is_first = not any(part.purpose == "file" for part in self._journal.parts)
        is_first = is_first and not (target is not None and target.is_added_to)  # else it would replace that file
        if target is None:
            path = str(self.directory / f"part-{number:03}.rrd")
        elif disks.is_special(target.target) or (target.is_in_place and is_first and self._journal.owns_target()):
            path = target.target
        else:
            path = self._journal.hidden_path(target.target, number)
        part = Part(number, path, purpose, first=self._chunks.end)
        with self._chunks.lock:
            self._journal.parts.append(part)
        try:
            if target is None:
                self.make_directory()
            self._journal.save()
            writer = open_part(part, self._journal, target)
            self._journal.save()
            if target is not None and is_first and path != target.target and self._journal.owns_target():
                self._journal.place(part)
        except (OSError, FlushTimeoutError) as error:
            self.fail(f"no part can be written in {os.path.dirname(path)}: {error}")
            with self._chunks.lock:
                self._journal.parts.remove(part)
            if os.path.isfile(path):
                os.unlink(path)
            return False
        self.writer, self.part = writer, part
        return True

    def begin_with(self, backlog: Sequence[Part], rules: BacklogRules) -> None:
        """Move the chunks of these parts, the last ones stored, into the part that `open` has just begun.

        The file gets what its rules allow. If writing fails, the new part is abandoned, and the backlog stays.
        """
        assert self.writer is not None
        assert self.part is not None
        self.part.first = backlog[0].first if backlog else self._chunks.end
        try:
            repeated = merge(map(rules.kept, backlog), self.writer) + rules.left_out
        except (ResourceError, FlushTimeoutError) as error:
            self.fail(str(error))
            self.abandon()
            return
        with self._chunks.lock:
            self.part.chunks, self.part.repeated = self._chunks.end - self.part.first, repeated
            for part in backlog:
                self._journal.parts.remove(part)
        rules.count()
        self._journal.save()
        for part in backlog:
            part.unlink()

    def has_room(self, num_bytes: int) -> bool:
        """Whether the disk of the part takes `num_bytes` besides what has not been flushed."""
        return self.part is None or disks.has_room(self.part.path, self.unflushed_bytes + num_bytes)

    def accepted(self, run: Sequence[ChunkBatch]) -> tuple[list[ChunkBatch], list[Chunk]]:
        """Return the chunks that rerun-sdk accepts, and rerun's form of them."""
        chunks: list[ChunkBatch] = []
        made: list[Chunk] = []
        for chunk in run:
            try:
                made.append(chunk_of(chunk))
                chunks.append(chunk)
            except CorruptionError as error:
                self.say(str(error))
        return chunks, made

    def send(self, chunks: Sequence[ChunkBatch], made: Sequence[Chunk], num_bytes: int) -> None:
        """Hand over what `accepted` has returned. It waits for `flush`."""
        assert self.writer is not None
        self.writer.send_all(made)
        self.unflushed += chunks
        self.unflushed_bytes += num_bytes

    def send_again(self) -> None:
        """Send to a new part what the failed one has not flushed, and flush it.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If the new part fails too.
        """
        assert self.writer is not None
        self.writer.send_all(self.accepted(self.unflushed)[1])
        self.flush(FLUSH_SECS)

    def flush(self, timeout_secs: float) -> None:
        """Bring everything sent into the part's file.

        Raises
        ------
        FlushTimeoutError
            If the file still takes rows, but has not taken all in time. Calling again goes on.
        ResourceError
            If the file takes no more rows.
        """
        assert self.part is not None
        self._flush(self.part, timeout_secs)
        self._chunks.add(self.part, self.unflushed, self.unflushed_bytes)
        self.forget_unflushed()

    def _flush(self, part: Part, timeout_secs: float) -> None:
        assert self.writer is not None
        deadline = time.monotonic() + timeout_secs
        size = part.size()
        while True:
            left = deadline - time.monotonic()
            try:
                return self.writer.flush(max(0.0, min(left, STALLED_SECS)))
            except FlushTimeoutError as error:
                grown = part.size()
                if grown == size and left >= STALLED_SECS:
                    raise ResourceError(f"{part.path} did not grow for {STALLED_SECS:g} s") from error
                if time.monotonic() >= deadline:
                    raise
                size = grown

    def forget_unflushed(self) -> None:
        """Free what has been flushed or given up."""
        self.unflushed.clear()
        self.unflushed_bytes = 0

    def abandon(self) -> None:
        """Leave the part unfinished; it can still be merged."""
        if self.writer is not None:
            self.writer.abandon()
        self.writer = self.part = None

    def close(self, *, with_footer: bool) -> None:
        """End the part, whose rows are flushed. If that fails, it stays unfinished; it can still be merged."""
        writer, part = self.writer, self.part
        if writer is None or part is None:
            return
        self.writer = self.part = None
        if with_footer and not disks.has_room(part.path, FOOTER_BYTES_PER_CHUNK * part.chunks):
            writer.abandon()
            return
        try:
            writer.close(FLUSH_SECS)
        except (ResourceError, FlushTimeoutError) as error:
            self.say(str(error))
            return
        part.is_ended = True
        self._journal.save()

    def fail(self, reason: str) -> None:
        """Record why the file takes no rows, and say it if it is news."""
        if reason != self.failure:
            self.say(reason)
        self.failure = reason

    def say(self, message: str) -> None:
        """Write a line about this recording to the collector's log."""
        say(f"rerun_mp: {self._journal.recording.application_id}: {message}")


def open_part(part: Part, journal: Journal, target: SinkSpec | None) -> SinkWriter:
    """Create the file of `part`.

    Parameters
    ----------
    part
        Gets the file's prelude, inode and number of carried chunks.
    journal
        Names the recording. In the user's file, the last blueprint that the user sent follows the default blueprint,
        and then come the static chunks of earlier parts.
    target
        The user's file, whose footer and default blueprint the part gets; None for a part of the spool.

    Raises
    ------
    OSError
        If the file cannot be created or written, or is a pipe without a reader.
    """
    if target is None:
        writer = open_file(part.path, journal.recording)
    else:
        pipe = None
        if os.path.exists(part.path) and stat.S_ISFIFO(os.stat(part.path).st_mode):
            # rerun-sdk would wait for a reader for ever. Opening it like this raises if there is none.
            pipe = os.open(part.path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            writer = open_file(part.path, journal.written, write_footer=target.write_footer, blueprint=target.blueprint)
        finally:
            if pipe is not None:
                os.close(pipe)
    part.prelude = writer.prelude
    if target is not None:
        try:
            _begin_target(part, writer, journal)
        except (ResourceError, FlushTimeoutError):
            writer.abandon()
            raise
    part.identify()
    return writer


def _begin_target(part: Part, writer: SinkWriter, journal: Journal) -> None:
    """Write what the user's file begins with after its prelude."""
    if journal.blueprint is not None:
        writer.send_blueprint(journal.written, journal.blueprint)
    for chunk in _carried_chunks(journal):
        writer.send(chunk)
        part.carried += 1
    if part.carried:
        writer.flush(FLUSH_SECS)


def _carried_chunks(journal: Journal) -> Iterator[Chunk]:
    """Yield the static chunks of earlier parts. If their file was removed, the present file begins with them, too."""
    path = None if journal.series is None else journal.series.carried
    if path is None:
        return
    try:
        file = open(path, "rb")  # noqa: SIM115 (the next block closes it)
    except FileNotFoundError:
        pass
    else:
        with file:
            yield from chunks_in(f"/proc/self/fd/{file.fileno()}")
        return
    for part in journal.parts:
        if part.purpose == "file" and part.carried and part.is_readable():
            yield from read_file(part.path, prelude=part.prelude, limit=part.carried)
            return
