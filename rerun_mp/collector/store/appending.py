"""Appends chunks to a store: to its file, or to its spool if there is no file or the file fails.

States of the writer::

    no writer ──append──► file part ──no room, or flush fails──► spool part (diverted) ──set_files, complete──► merged
        ▲  └────append, no file set──► spool part (buffer or window) ──rotated when large, oldest dropped──┐
        └──────────────────────────────────────────────────────────────────────────────────────────────────┘

A diverted file goes on, in another part, when its disk has room again.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.clock import Clock
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.part_writer import FLUSH_SECS, PartWriter
from rerun_mp.collector.store.removed_files import RemovedFiles
from rerun_mp.collector.store.spool import Spool
from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.session.accounts import Reason
from rerun_mp.session.config import Blueprint

__all__ = ["Appending", "ShowAhead"]

ShowAhead = Callable[[Sequence[ChunkBatch]], None]
"""Shows chunks that have not been written yet. Never waits."""

MAX_UNFLUSHED_BYTES = 32 << 20
"""`append` flushes when more bytes than this wait for a flush."""
MIN_RUN_BYTES = 256 << 10
"""Bytes handed to rerun-sdk at once: each hand-over wakes rerun's threads and asks for the disk's free space."""
DIVERT_ATTEMPTS = 2
"""Spool parts tried, each after dropping the oldest one, before unflushed rows are dropped."""
MAX_AHEAD_BYTES = 64 << 10
"""Maximum bytes of chunks that live sinks may get before they are written."""
MAX_AHEAD_CHUNKS = 8
"""Maximum number of these chunks: the main thread takes 0.1 ms for each of them and each sink."""
RETRY_SECS = 5.0
"""Seconds from the failure of a file to the next attempt. Each attempt that fails doubles them."""
MAX_RETRY_SECS = 300.0
"""Maximum seconds between two attempts."""
STABLE_SECS = 60.0
"""Seconds of taking rows after which a file resets the delay to `RETRY_SECS`."""
LOOK_SECS = 0.5
"""Minimum seconds between two looks for a removed file or journal."""
ROOM_BYTES = 16 << 20
"""Bytes that a disk must have free, besides the spare ones, before a file that has failed goes on."""


class Appending:
    """Chooses the part that chunks go to, and changes it when it is full or fails."""

    def __init__(
        self, journal: Journal, chunks: FlushedChunks, writing: PartWriter, spool: Spool, clock: Clock
    ) -> None:
        self._journal = journal
        self._chunks = chunks
        self._writing = writing
        self._spool = spool
        self._clock = clock
        self._removed_files = RemovedFiles(journal, chunks, writing, spool)
        self._next_look = 0.0
        """When the next look for a removed file is due."""
        self._misses_journal = False
        """Whether the journal was gone at the last look."""
        self._delay = RETRY_SECS
        self._next_attempt: float | None = None
        """When a file that has failed is tried again; None: it has not failed, or not been tried since."""
        self._resumed = 0.0
        """When the file went on."""

    def append(self, chunks: Sequence[ChunkBatch], show: ShowAhead | None = None) -> list[ChunkBatch]:
        """Take chunks, and return those that rerun-sdk refuses. The others are delivered when `flush` has returned.

        `show` is called with the chunks before they are written if they are few, rerun-sdk accepts them all, and no
        others wait for a flush.
        """
        refused: list[ChunkBatch] = []
        self._journal.catch_up()
        self.resume_file_if_there_is_room()
        for run in _runs(chunks):
            num_bytes = sum(chunk.num_bytes for chunk in run)
            accepted, made = self._writing.accepted(run)
            if len(accepted) < len(run):
                refused += [chunk for chunk in run if chunk not in accepted]
            elif show is not None and num_bytes <= MAX_AHEAD_BYTES and self._is_all(run, chunks):
                show(run)
            if self._writing.unflushed_bytes + num_bytes > MAX_UNFLUSHED_BYTES:
                self.flush(FLUSH_SECS)
            if self._prepare_writer(num_bytes):
                self._writing.send(accepted, made, num_bytes)
            else:
                self._spool.count(Reason.WRITE, accepted)
                self._journal.save()
        return refused

    def _is_all(self, run: Sequence[ChunkBatch], chunks: Sequence[ChunkBatch]) -> bool:
        """Whether a run is all of few chunks, and no others wait for a flush."""
        return len(run) == len(chunks) <= MAX_AHEAD_CHUNKS and not self._writing.unflushed

    def resume_file_if_there_is_room(self) -> None:
        """Let the next chunk go to the user's file again, if that file has failed and its disk has room by now.

        A file that rotates needs room for all its rows that wait, because its present part is completed next.
        """
        target = self._journal.target
        if self._writing.failure is None or target is None or disks.is_special(target.target):
            return
        now = self._clock.boot_secs()
        if self._next_attempt is None:
            is_stable = now - self._resumed >= STABLE_SECS
            self._delay = RETRY_SECS if is_stable else min(self._delay * 2, MAX_RETRY_SECS)
            self._next_attempt = now + self._delay
        if now < self._next_attempt:
            return
        self._next_attempt = now + self._delay
        parts = [part for part in self._journal.parts if part.purpose in ("file", "diverted")]
        waiting = 0 if self._journal.series is None else sum(part.size() for part in parts)
        if disks.has_room(target.target, ROOM_BYTES + waiting):
            self.end_part(with_footer=False)
            self._writing.failure, self._next_attempt, self._resumed = None, None, now

    def flush(self, timeout_secs: float) -> None:
        """Bring everything appended into a file, another one if the present one fails.

        Raises
        ------
        FlushTimeoutError
            If the file still takes rows, but has not taken all in time. Calling again goes on.
        """
        part = self._writing.part
        if part is None or not self._writing.unflushed:
            return
        try:
            self._writing.flush(timeout_secs)
        except ResourceError as error:
            self._divert(str(error))
            return
        if part.purpose != "file":
            self._rotate_spool()

    def bring_back(self) -> None:
        """Look for what somebody has removed, at most once in `LOOK_SECS`, and bring it back."""
        now = self._clock.boot_secs()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECS
        if not self._writing.unflushed:
            self._removed_files.look()
        misses_journal = self._journal.is_saved and not self._journal.path.exists()
        if misses_journal and self._misses_journal:
            self._restore_journal()
        self._misses_journal = misses_journal

    def bring_file_back_at_once(self) -> None:
        """Bring the present file back if somebody has removed it, for a reader of all that the store has."""
        if not self._writing.unflushed:
            self._removed_files.bring_back()

    def _restore_journal(self) -> None:
        with contextlib.suppress(OSError):  # the next look tries again
            self._writing.make_directory()
            self._journal.save()
            if self._journal.drops.held_rows():
                self._journal.save_held()
            for part in self._journal.parts:
                if part.is_spooled and not part.exists() and part is not self._writing.part:
                    self._writing.say(f"{part.path} was removed, and the rows of its {part.chunks} chunks are lost")

    def _prepare_writer(self, num_bytes: int) -> bool:
        """Return whether a part is open that has room for `num_bytes`. Opens one if need be."""
        writing = self._writing
        if writing.part is None and not (writing.failure is None and self._journal.target and writing.open("file")):
            self._open_spool_part()
        if not writing.has_room(num_bytes):
            if writing.part is not None and writing.part.purpose == "file":
                self._divert(f"no space is left beside {writing.part.path}")
            else:
                self._rotate_spool(force=True)
        return writing.part is not None

    def _open_spool_part(self) -> bool:
        return self._writing.open("diverted" if self._journal.target else self._chunks.purpose)

    def _divert(self, reason: str) -> None:
        """Go on in the spool, with what had not been flushed: the present part takes no more."""
        if not self._removed_files.keep():
            self._writing.fail(reason)
            self._writing.abandon()
        for _ in range(DIVERT_ATTEMPTS):
            if self._open_spool_part():
                try:
                    self._writing.send_again()
                    return
                except (ResourceError, FlushTimeoutError) as error:
                    self._writing.fail(str(error))
                    self._writing.abandon()
            self._spool.drop_oldest(self._writing.part)
        self._spool.count(Reason.WRITE, self._writing.unflushed)
        self._journal.save()
        self._writing.forget_unflushed()

    def end_part(self, *, with_footer: bool) -> None:
        """Flush and end the part that is being written, if there is one."""
        self.flush(FLUSH_SECS)
        self._removed_files.bring_back()
        self._writing.close(with_footer=with_footer)

    def set_blueprint(self, blueprint: Blueprint) -> None:
        """Write a blueprint to the present file and to later ones."""
        if self._writing.purpose == "file":
            self.flush(FLUSH_SECS)
        is_in_file = self._writing.purpose == "file"
        try:
            if is_in_file and self._writing.writer is not None:
                self._writing.writer.send_blueprint(self._journal.recording, blueprint)
        except (ResourceError, FlushTimeoutError) as error:
            self._writing.fail(str(error))
        self._journal.blueprint = blueprint
        if not is_in_file and any(part.purpose == "file" for part in self._journal.parts):
            # The file's last part has ended without the blueprint. A new part begins with it, and they are merged.
            self.end_part(with_footer=False)
            self._writing.open("file")
        self._journal.save()

    def give_file_up(self) -> None:
        """Let go of the user's file, and remove the rows that are in it or belong to it."""
        self.end_part(with_footer=False)
        given_up = [part for part in self._journal.parts if part.purpose in ("file", "diverted")]
        with self._chunks.lock:
            self._journal.parts = [part for part in self._journal.parts if part not in given_up]
        self._journal.end_target()
        self._journal.save()
        for part in given_up:
            part.unlink()
        self._writing.failure = None

    def end_spool_part(self) -> None:
        """End the part that is being written, unless it is the file's."""
        if self._writing.purpose not in (None, "file"):
            self.end_part(with_footer=False)

    def end_buffer(self) -> None:
        """End the spool's part, and keep no chunk for a later file."""
        self.end_spool_part()
        for part in self._journal.parts:
            if part.purpose == "buffer":
                part.purpose = self._chunks.purpose
        self._journal.save()

    def end_live_part(self) -> None:
        """Note which parts a live sink has wholly acknowledged, and end the part of a sink that follows no more."""
        if self._chunks.followers == 0:
            self.end_spool_part()
            self._chunks.forget_recent()
        seen = [part for part in self._journal.parts if part.purpose == "live" and part.stop <= self._chunks.seen]
        for part in seen:
            part.purpose = "window"
        if seen:
            self._journal.save()

    def _rotate_spool(self, *, force: bool = False) -> None:
        """End the part of the spool if it is large, and drop the oldest parts beyond the bound.

        With `force`, end it whatever its size, drop the oldest part, and begin a new one: the disk is full.
        """
        part = self._writing.part
        if part is None or not (force or self._spool.is_large(part)):
            return
        self.end_part(with_footer=False)
        if force:
            self._spool.drop_oldest(self._writing.part)
        self._spool.drop_beyond_bound(self._writing.part)
        self._journal.save()
        if force:
            self._open_spool_part()


def _runs(chunks: Sequence[ChunkBatch]) -> Iterator[list[ChunkBatch]]:
    """Yield chunks in runs of at least `MIN_RUN_BYTES`; the last run may be smaller."""
    run: list[ChunkBatch] = []
    num_bytes = 0
    for chunk in chunks:
        run.append(chunk)
        num_bytes += chunk.num_bytes
        if num_bytes >= MIN_RUN_BYTES:
            yield run
            run, num_bytes = [], 0
    if run:
        yield run
