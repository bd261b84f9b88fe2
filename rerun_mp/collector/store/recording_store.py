"""The durable store of one recording: the user's file, or a bounded spool while there is none.

Rows are delivered once they are here and flushed; live sinks read behind (`read`). Invariants:

- The user's path is never written in place. A new part is written under a hidden name beside it and renamed over it at
  once; rerun keeps writing to the inode. Two runs with one path therefore never mix: the later one has the path.
- Every life of a collector, and every failure of a file, begins a new part. One whole part is complete as it is;
  several are merged at the end into a new file, repeated chunk ids left out, which is renamed over the path, unless
  somebody else has put another file there since.
- What has not been flushed is kept, so that it can be sent again to another part when a file fails.
- Chunks have ordinals, counted in the order of appending. A reader that knows the last one it saw gets what follows.

States of the writer::

    no writer ──append──► file part ──no room, or flush fails──► spool part (diverted) ──set_files, finish──► merged
        ▲  └────append, no file set──► spool part (buffer or window) ──rotated when large, oldest dropped──┐
        └───────────────────────────────────────────────────────────────────────────────────────────────────┘

One worker's main thread calls everything, except `read`, `end` and `status`, which any thread may call.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.messages import say
from rerun_mp.collector.store.completion import complete, is_special, open_part
from rerun_mp.collector.store.drops import count_by_producer, nobody_s
from rerun_mp.collector.store.parts import Journal, Part, Purpose
from rerun_mp.collector.store.rerun_sinks import SinkWriter, merge
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.session.accounts import Reason
from rerun_mp.session.config import Blueprint, SinkSpec
from rerun_mp.session.sink_status import SinkStatus

__all__ = ["RecordingStore"]

UNFLUSHED_BYTES = 32 << 20
"""Appending flushes by itself beyond this."""
FLUSH_SECS = 30.0
STALLED_SECS = 5.0
"""A file that did not grow for so long while it was flushed has failed."""
SPARE_BYTES = 8 << 20
"""Left free on every disk: rerun's writer does not survive a full one, and a footer must still fit."""
RUN_BYTES = 256 << 10
"""Handed to rerun-sdk at once."""
FOOTER_BYTES_PER_CHUNK = 512
MAX_MARKS = 4096
RECENT_BYTES = 32 << 20
"""Flushed chunks kept in memory while live sinks follow, for all of these together."""


class RecordingStore:
    """Everything that has been collected of one recording and is still needed."""

    def __init__(
        self,
        recording: RecordingKey,
        spool: Path,
        nonce: bytes,
        *,
        scoped_to: str = "",
        max_bytes: int = 1 << 30,
        producers: Callable[[], Iterable[int]] = nobody_s,
    ) -> None:
        """Take over what an earlier life of the collector has left, or begin.

        Parameters
        ----------
        recording
            Which recording.
        spool
            The session's directory for what cannot be in a file.
        nonce
            The segment's.
        scoped_to
            The sink that it is for, if it is to have what some processes log, and not the whole recording.
        max_bytes
            Bound of this recording's part of the spool.
        producers
            Returns the first row ids' counters of all producers, to count by producer what is given up.
        """
        self.recording = recording
        names = (*recording, scoped_to) if scoped_to else recording
        name = hashlib.blake2b("\0".join(names).encode(), digest_size=12).hexdigest()
        self._directory = Path(spool) / name
        self._max_bytes = max_bytes
        self._producers = producers
        with contextlib.suppress(OSError):
            self._make_directory()
        self._journal = Journal.load(self._directory / "journal.json", nonce.hex()[:8], recording, scoped_to)
        self._writer: SinkWriter | None = None
        self._part: Part | None = None
        self._unflushed: list[ChunkBatch] = []
        self._unflushed_bytes = 0
        self._next = self._journal.next_ordinal()
        self._live = 0
        """Live sinks that follow."""
        self._checkpoints = 0
        """How often the present files were to be complete for readers, in this life."""
        self._failure: str | None = None
        self._rejected_rows = 0
        self._sweep_ids: set[str] = set()
        """Ids of the present sweep's chunks: a collector that repeats it sends them again."""
        self._marks: deque[tuple[int, int]] = deque([(self._next, 0)], maxlen=MAX_MARKS)
        """(ordinal of the next chunk, rows flushed in this life until then), after each of the last flushes."""
        self._since_ns = time.time_ns()
        """When it was last said that the file is in another state."""
        self._said_state = ""
        self._seen = 0
        """Ordinal up to which some viewer has got everything."""
        self._lock = threading.Lock()
        """Guards the list of parts, `_recent` and `_recent_bytes` against `read`."""
        self._recent: deque[tuple[int, ChunkBatch]] = deque()
        self._recent_bytes = 0
        self._drop_beyond_bound()

    def _make_directory(self) -> None:
        for directory in (self._directory.parent.parent, self._directory.parent, self._directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Sinks

    def set_files(self, specs: Sequence[SinkSpec]) -> None:
        """Write to these files from now on. A file no longer among them is completed.

        Rows that came while no sink was set go into the first file. With several, one is written, and the others
        become copies of it when it is completed. Ignored once all is complete.
        """
        if self._journal.is_complete:
            return
        targets = [spec.target for spec in specs]
        current = self._journal.target
        if current is not None and current.target not in targets:
            self.close_file()
            current = None
        if not specs:
            return
        if current is None:
            self._begin_file(specs[0])
            current = specs[0]
        copies = tuple(spec for spec in specs if spec.target != current.target)
        if [spec.target for spec in copies] != [spec.target for spec in self._journal.copies]:
            self._journal.copies = copies
            self._journal.save()
        checkpoints = sum(spec.checkpoints for spec in specs)
        if checkpoints != self._checkpoints:
            self._checkpoints = checkpoints
            self._checkpoint()

    def set_blueprint(self, blueprint: Blueprint | None) -> None:
        """Have a blueprint in the present file and in those to come. Ignored once all is complete."""
        if blueprint is None or blueprint == self._journal.blueprint or self._journal.is_complete:
            return
        if self._writer is not None and self._part is not None and self._part.purpose == "file":
            self.flush(FLUSH_SECS)
        writer, part = self._writer, self._part
        is_in_file = writer is not None and part is not None and part.purpose == "file"
        try:
            if is_in_file and writer is not None:
                writer.send_blueprint(self.recording, blueprint)
        except ResourceError as error:
            self._fail(str(error))
        self._journal.blueprint = blueprint
        if not is_in_file and any(part.purpose == "file" for part in self._journal.parts):
            # What there is of the file has ended without it: a part that begins with it makes for a merge.
            self._end_part(with_footer=False)
            self._open_part("file")
        self._journal.save()

    @property
    def blueprint(self) -> Blueprint | None:
        """The last one that was set. Any thread may ask."""
        return self._journal.blueprint

    def close_file(self, otherwise: str | None = None) -> None:
        """Complete the file and let go of it. Later rows go to the spool.

        If it cannot be written any more, or another program has replaced it, what we still have goes to the path
        `otherwise`.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If it cannot be completed. The parts then stay, and the next call tries again.
        """
        if self._journal.target is None:
            return
        self._complete_file(otherwise=otherwise)
        self._checkpoints = 0
        self._failure = None

    def _checkpoint(self) -> None:
        """Complete the file for readers. The next chunk begins another part, with which it is merged in the end."""
        if self._journal.target is not None and any(part.purpose == "file" for part in self._journal.parts):
            with contextlib.suppress(ResourceError, FlushTimeoutError):  # which `_complete_file` has said
                self._complete_file(is_final=False)

    def _complete_file(self, *, otherwise: str | None = None, is_final: bool = True) -> None:
        self._end_part(with_footer=True)
        try:
            complete(
                self._journal,
                self.recording,
                lock=self._lock,
                has_room=_has_room,
                give_up=lambda part: self._count_part(Reason.WRITE, part),
                otherwise=otherwise,
                is_final=is_final,
            )
        except (ResourceError, FlushTimeoutError) as error:
            self._fail(f"{error}; its rows stay in {self._directory}")
            raise

    def complete(self, otherwise: str | None = None) -> None:
        """Complete the file, if there is one, for good: the session has ended.

        Repeating it, in this life or the next one, changes nothing.

        Parameters
        ----------
        otherwise
            Where rows go that have no file, or whose file cannot be written any more. None: those without one are not
            wanted.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If the file cannot be completed. Its parts and the spool then stay.
        """
        if self._journal.is_complete:
            return
        if otherwise is not None and self._journal.target is None:
            self._begin_rescue(otherwise)
        self.close_file(otherwise)
        self._end_part(with_footer=False)
        self._journal.is_complete = True
        self._journal.save()

    def attach_live(self) -> None:
        """Take note that a live sink follows: what it can read counts as delivered to a sink."""
        self._live += 1
        self._end_part_unless_file()
        for part in self._journal.parts:
            if part.purpose == "buffer":
                part.purpose = "window"
        self._journal.save()

    def unfollow(self) -> None:
        """Take note that a live sink follows no more: what is appended from now on is not for it."""
        self._live -= 1
        if self._live == 0:
            self._end_part_unless_file()
            with self._lock:
                self._recent.clear()
                self._recent_bytes = 0

    # Rows

    def begin(self, sweep: int, chunk_ids: set[str]) -> None:
        """Take note of what comes with a sweep: all that this store gets of it, perhaps again."""
        self._journal.drops.begin(sweep)
        self._sweep_ids = chunk_ids

    def append(self, chunks: Sequence[ChunkBatch]) -> list[ChunkBatch]:
        """Take chunks, and return those that rerun-sdk refuses. The others are delivered when `flush` has returned.

        Ignored once all is complete: nothing is new.
        """
        refused: list[ChunkBatch] = []
        if self._journal.is_complete:
            return refused
        self._journal.catch_up()
        for run in _runs(chunks):
            num_bytes = sum(chunk.num_bytes for chunk in run)
            if self._unflushed_bytes + num_bytes > UNFLUSHED_BYTES:
                self.flush(FLUSH_SECS)
            writer = self._writer_with_room(num_bytes)
            if writer is None:
                self._count(Reason.WRITE, run)
                self._journal.save()
            else:
                refusals = self._send(writer, run)
                self._unflushed += [chunk for chunk in run if chunk not in refusals] if refusals else run
                self._unflushed_bytes += num_bytes
                refused += refusals
        return refused

    def flush(self, timeout_secs: float) -> None:
        """Bring everything appended into a file, another one if the present one fails.

        Raises
        ------
        FlushTimeoutError
            If the file still takes rows, but has not taken all in time. Calling again goes on.
        """
        if self._writer is None or self._part is None or not self._unflushed:
            return
        try:
            self._flush_writer(self._writer, self._part, timeout_secs)
        except ResourceError as error:
            self._divert(str(error))
            return
        self._take_note_of_flushed(self._part)
        if self._part.purpose != "file":
            self._rotate_spool()

    def rest(self) -> None:
        """End the part that is being written, which takes threads and a descriptor; the next chunk begins another."""
        self._end_part(with_footer=True)

    def read(self, since: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield what the store holds from ordinal `since` on, as (ordinal, chunk), until what was flushed at the call.

        Ordinals ascend. There are gaps where parts are gone: dropped, or moved away by the user.
        """
        end = self._next
        is_second_try = False
        while since < end:
            with self._lock:
                recent = list(self._recent) if self._recent and self._recent[0][0] <= since else []
                part = min((part for part in self._journal.parts if part.stop > since), key=_first_of, default=None)
            if recent:
                yield from (entry for entry in recent if entry[0] >= since)
                return
            if part is None:
                return
            # One part at a time: meanwhile others may be copied into one, which then has what comes next.
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
        with self._lock:
            return any(one is part for one in self._journal.parts) and not part.is_readable()

    @property
    def is_complete(self) -> bool:
        """Whether all is complete for good: the session has ended, and an earlier collector got so far."""
        return self._journal.is_complete

    @property
    def is_open(self) -> bool:
        """Whether a part is being written."""
        return self._writer is not None

    @property
    def end(self) -> int:
        """The ordinal after the last chunk that was flushed."""
        return self._next

    def status(self) -> dict[str, Any]:
        """Return what can be said of the store, for people and tests."""
        target = self._journal.target
        with self._lock:
            parts = list(self._journal.parts)
        return {
            "file": target.target if target else None,
            "writing_to": self._part.purpose if self._part else None,
            "chunks": self._next,
            "parts": len(parts),
            "file_bytes": sum(part.size() for part in parts if part.purpose == "file"),
            "spool_bytes": sum(part.size() for part in parts if self._is_spool(part)),
            "dropped_rows": self._journal.drops.total(),
            "rejected_rows": self._rejected_rows,
            "failure": self._failure,
        }

    def behind(self, ordinal: int) -> tuple[int, int]:
        """Return how many chunks and rows come from an ordinal on; old chunks count a row each. Any thread may call."""
        with self._lock:
            marks = list(self._marks)
        chunks = max(0, self._next - ordinal)
        begin = next((mark for mark in marks if mark[0] >= ordinal), marks[-1])
        return chunks, min(chunks, begin[0] - ordinal if begin[0] > ordinal else 0) + marks[-1][1] - begin[1]

    def reports(self) -> list[SinkStatus]:
        """Return how the files are, for the user."""
        target = self._journal.target
        if target is None:
            return []
        purpose = self._part.purpose if self._part else None
        state: Any = "writing" if purpose == "file" else "resting" if purpose is None else "diverted"
        if state != self._said_state:
            self._said_state, self._since_ns = state, time.time_ns()
        return [
            SinkStatus(*self.recording, "file", spec.target, state, self._since_ns, 0, 0, 0, self._failure)
            for spec in (target, *self._journal.copies)
        ]

    def drops(self) -> dict[Reason, Counter[int]]:
        """Return the rows that the store has given up, by reason and producer."""
        return self._journal.drops.by_reason()

    @property
    def drops_version(self) -> int:
        """A number that grows whenever rows are given up."""
        return self._journal.drops.version

    def note_seen(self, ordinal: int) -> None:
        """Take note that a viewer has got everything before `ordinal`. Any thread may call."""
        with self._lock:
            self._seen = max(self._seen, ordinal)

    # Writing parts

    def _begin_file(self, spec: SinkSpec) -> None:
        self._end_part(with_footer=False)
        self._failure = None
        self._journal.begin_target(spec)
        backlog = [part for part in self._journal.parts if part.purpose == "buffer"]
        for part in backlog:
            part.purpose = "diverted"  # they belong to the file, and are merged into it if copying fails
        self._journal.save()
        if not self._open_part("file"):
            return
        writer, fresh = self._writer, self._part
        assert writer is not None
        assert fresh is not None
        fresh.first = backlog[0].first if backlog else self._next
        try:
            repeated = merge([(chunk for _, chunk in part.read()) for part in backlog], writer)
        except (ResourceError, FlushTimeoutError) as error:
            self._fail(str(error))
            self._abandon_part()
            return
        with self._lock:
            fresh.chunks, fresh.repeated = self._next - fresh.first, repeated
            for part in backlog:
                self._journal.parts.remove(part)
        self._journal.save()
        for part in backlog:
            part.unlink()

    def _begin_rescue(self, path: str) -> None:
        """Begin a file for all rows that the spool has, whether a live sink may have got them or not."""
        self._end_part(with_footer=False)
        kept = [part for part in self._journal.parts if part.purpose in ("buffer", "window")]
        if any(part.holds_rows() for part in kept):
            for part in kept:
                part.purpose = "buffer"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._begin_file(SinkSpec("file", path))

    def _writer_with_room(self, num_bytes: int) -> SinkWriter | None:
        if self._writer is None and not (self._failure is None and self._journal.target and self._open_part("file")):
            self._open_spool_part()
        if self._part is not None and not _has_room(self._part.path, self._unflushed_bytes + num_bytes):
            if self._part.purpose == "file":
                self._divert(f"no space is left beside {self._part.path}")
            else:
                self._rotate_spool(force=True)
        return self._writer

    def _open_spool_part(self) -> bool:
        return self._open_part("diverted" if self._journal.target else "window" if self._live else "buffer")

    def _open_part(self, purpose: Purpose) -> bool:
        """Begin a new part. On failure say why, and leave no writer."""
        target = self._journal.target if purpose == "file" else None
        number = self._journal.take_number()
        is_first = not any(part.purpose == "file" for part in self._journal.parts)
        if target is None:
            path = str(self._directory / f"part-{number:03}.rrd")
        elif is_special(target.target):
            path = target.target
        else:
            path = self._journal.hidden_path(target.target, number)
        part = Part(number, path, purpose, first=self._next)
        with self._lock:
            self._journal.parts.append(part)
        try:
            if target is None:
                self._make_directory()
            self._journal.save()
            writer = open_part(part, self.recording, target, self._journal.blueprint)
            self._journal.save()
            if target is not None and is_first and path != target.target and self._journal.owns_target():
                self._journal.place(part)
        except (OSError, FlushTimeoutError) as error:
            self._fail(f"no part can be written in {os.path.dirname(path)}: {error}")
            with self._lock:
                self._journal.parts.remove(part)
            if os.path.isfile(path):
                os.unlink(path)
            return False
        self._writer, self._part = writer, part
        return True

    def _send(self, writer: SinkWriter, run: list[ChunkBatch]) -> list[ChunkBatch]:
        """Hand chunks over, and return those that rerun-sdk refuses."""
        refused = writer.send_all(run)
        for chunk, error in refused:
            self._rejected_rows += chunk.num_rows
            self._say(str(error))
        return [chunk for chunk, _ in refused]

    def _flush_writer(self, writer: SinkWriter, part: Part, timeout_secs: float) -> None:
        deadline = time.monotonic() + timeout_secs
        size = part.size()
        while True:
            left = deadline - time.monotonic()
            try:
                return writer.flush(max(0.0, min(left, STALLED_SECS)))
            except FlushTimeoutError as error:
                grown = part.size()
                if grown == size and left >= STALLED_SECS:
                    raise ResourceError(f"{part.path} did not grow for {STALLED_SECS:g} s") from error
                if time.monotonic() >= deadline:
                    raise
                size = grown

    def _take_note_of_flushed(self, part: Part) -> None:
        with self._lock:
            if self._live:
                self._recent.extend(enumerate(self._unflushed, self._next))
                self._recent_bytes += self._unflushed_bytes
                while self._recent and self._recent_bytes > RECENT_BYTES:
                    self._recent_bytes -= self._recent.popleft()[1].num_bytes
            part.chunks += len(self._unflushed)
            self._next += len(self._unflushed)
            self._marks.append((self._next, self._marks[-1][1] + sum(chunk.num_rows for chunk in self._unflushed)))
        self._unflushed.clear()
        self._unflushed_bytes = 0

    def _divert(self, reason: str) -> None:
        """Go on in the spool, with what had not been flushed: the present part takes no more."""
        self._fail(reason)
        self._abandon_part()
        for _ in range(2):
            if self._open_spool_part() and self._writer is not None and self._part is not None:
                try:
                    self._send(self._writer, self._unflushed)
                    self._flush_writer(self._writer, self._part, FLUSH_SECS)
                    self._take_note_of_flushed(self._part)
                    return
                except (ResourceError, FlushTimeoutError) as error:
                    self._fail(str(error))
                    self._abandon_part()
            self._drop_oldest_spooled()
        self._count(Reason.WRITE, self._unflushed)
        self._journal.save()
        self._unflushed.clear()
        self._unflushed_bytes = 0

    def _abandon_part(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
        self._writer = self._part = None

    def _end_part(self, *, with_footer: bool) -> None:
        """Close the writer, its rows flushed. If that fails, the part stays unfinished, and can still be merged."""
        self.flush(FLUSH_SECS)
        writer, part = self._writer, self._part
        if writer is None or part is None:
            return
        self._writer = self._part = None
        if with_footer and not _has_room(part.path, FOOTER_BYTES_PER_CHUNK * part.chunks):
            writer.abandon()
            return
        try:
            writer.close(FLUSH_SECS)
        except (ResourceError, FlushTimeoutError) as error:
            self._say(str(error))
            return
        part.is_ended = True
        self._journal.save()

    def _end_part_unless_file(self) -> None:
        if self._part is not None and self._part.purpose != "file":
            self._end_part(with_footer=False)

    # The bound of the spool

    def _rotate_spool(self, *, force: bool = False) -> None:
        part = self._part
        if part is None or not (force or part.size() >= max(self._max_bytes // 8, 1 << 20)):
            return
        self._end_part(with_footer=False)
        if force:
            self._drop_oldest_spooled()
        self._drop_beyond_bound()
        self._journal.save()
        if force:
            self._open_spool_part()

    def _drop_beyond_bound(self) -> None:
        while sum(part.size() for part in self._journal.parts if self._is_spool(part)) > self._max_bytes:
            self._drop_oldest_spooled()

    def _drop_oldest_spooled(self) -> None:
        oldest = next((part for part in self._journal.parts if self._is_spool(part) and part is not self._part), None)
        if oldest is None:
            return
        self._count_part(Reason.SPOOL, oldest, since=self._seen if oldest.purpose == "window" else 0)
        with self._lock:
            self._journal.parts.remove(oldest)
        self._journal.save()
        oldest.unlink()

    def _count_part(self, reason: Reason, part: Part, since: int = 0) -> None:
        """Count the rows of a part that is given up, from ordinal `since` on."""
        self._count(reason, [chunk for _, chunk in part.read(since)], elsewhere=self._repeated_after(part))

    def _repeated_after(self, part: Part) -> set[str]:
        """Return the ids of what later parts hold, too: a life of the collector repeats the end of the one before."""
        if not part.is_inherited:
            return set()
        later = self._journal.parts[self._journal.parts.index(part) + 1 :]
        return {chunk.id for other in later for _, chunk in other.read()}

    def _count(self, reason: Reason, chunks: Iterable[Any], elsewhere: Collection[str] = ()) -> None:
        """Count the rows of chunks that are given up, ours or rerun's, by their producers.

        The caller saves the journal, once, when it also says that they are gone.
        """
        firsts = np.array(sorted(self._producers()), np.uint64)
        for chunk in chunks:
            is_ours = isinstance(chunk, ChunkBatch)
            chunk_id = chunk.chunk_id if is_ours else chunk.id
            if chunk_id not in elsewhere:
                batch = chunk.batch if is_ours else chunk.to_record_batch()
                rows = count_by_producer(chunk.entity_path, batch, firsts)
                self._journal.drops.add(reason, rows, is_of_sweep=chunk_id in self._sweep_ids)

    @staticmethod
    def _is_spool(part: Part) -> bool:
        return part.purpose in ("buffer", "diverted", "window")

    def _fail(self, reason: str) -> None:
        if reason != self._failure:
            self._say(reason)
        self._failure = reason

    def _say(self, message: str) -> None:
        say(f"rerun_mp: {self.recording.application_id}: {message}")


def _runs(chunks: Sequence[ChunkBatch]) -> Iterator[list[ChunkBatch]]:
    """Yield chunks in runs of `RUN_BYTES` and a bit more: rerun's threads are woken, and the disk asked, for each."""
    run: list[ChunkBatch] = []
    num_bytes = 0
    for chunk in chunks:
        run.append(chunk)
        num_bytes += chunk.num_bytes
        if num_bytes >= RUN_BYTES:
            yield run
            run, num_bytes = [], 0
    if run:
        yield run


def _first_of(part: Part) -> int:
    return part.first


def _has_room(path: str, num_bytes: int) -> bool:
    if is_special(path):
        return True
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        return True  # opening or flushing will say what is wrong
    return disk.f_bavail * disk.f_frsize >= num_bytes + SPARE_BYTES
