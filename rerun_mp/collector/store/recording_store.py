"""The durable store of one recording: the user's file, or a bounded spool while there is none.

A row is delivered once it is here and flushed. Live sinks read behind (`flushed_chunks`, but see `ahead`). Invariants:

- The store never writes to the user's path in place. It writes a new part under a hidden name beside the path and
  renames it at once; rerun keeps writing to the inode. So two runs with one path never mix: the later one has the path.
- Each life of the collector, and each failure of a file, begins a new part. One whole part is complete as it is.
  Several are merged at the end (`completion`). A new life cannot append to the part before, because rerun's `FileSink`
  truncates the file that it opens, and readers refuse a file in which a second stream with a footer follows the first.
- Unflushed chunks stay in memory, so that they can be sent again to another part when a file fails.

Used by the worker's main thread. Other threads may call what the docstrings say.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from pathlib import Path

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.appending import Appending, ShowAhead
from rerun_mp.collector.store.clock import SYSTEM_CLOCK, Clock
from rerun_mp.collector.store.completion import Completion
from rerun_mp.collector.store.drops import Drops
from rerun_mp.collector.store.file_rules import FileRules
from rerun_mp.collector.store.file_statuses import FileStatuses
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.part_writer import PartWriter
from rerun_mp.collector.store.parts import Part
from rerun_mp.collector.store.rotating import Rotating
from rerun_mp.collector.store.spool import Spool
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.session.accounts import Reason
from rerun_mp.session.config import Blueprint, SinkSpec, WholeFile
from rerun_mp.session.sink_status import SinkStatus

__all__ = ["RecordingStore"]


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
        first_rows: Callable[[], Iterable[int]] = tuple,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Take over what an earlier life of the collector left, or begin.

        Parameters
        ----------
        recording
            The recording of the chunks.
        spool
            The session's spool directory.
        nonce
            The nonce of the session's segment.
        scoped_to
            The sink that the store is for, if it takes what some processes log and not the whole recording.
        max_bytes
            Bound of the store's spool, in bytes.
        first_rows
            Returns the first row-id counter of each producer, to count given-up rows by producer.
        clock
            The clock by which files rotate and old parts are removed.
        """
        self.recording = recording
        names = (*recording, scoped_to) if scoped_to else recording
        name = hashlib.blake2b("\0".join(names).encode(), digest_size=12).hexdigest()
        self.directory = Path(spool) / name
        """The store's own directory in the spool."""
        self._journal = Journal.load(self.directory / "journal.json", nonce.hex()[:8], recording, scoped_to)
        self.chunks = FlushedChunks(self._journal)
        """What live sinks read."""
        self._writing = PartWriter(self._journal, self.chunks, self.directory)
        self._spool = Spool(self._journal, self.chunks, max_bytes, first_rows)
        self._rules = FileRules(self._journal, self.chunks, first_rows)
        self._appending = Appending(self._journal, self.chunks, self._writing, self._spool, clock)
        with contextlib.suppress(OSError):
            self._writing.make_directory()
        self.rotating = Rotating(
            self._journal,
            self.chunks,
            self._writing,
            self._appending,
            nonce,
            self._complete_file,
            self._begin_file,
            clock,
        )
        """The parts of a file that rotates, and their readers."""
        self._checkpoints = 0
        """How often the present files have been made complete for readers, in this life."""
        self._statuses = FileStatuses(self._journal, self._writing, self.rotating)
        self._spool.drop_beyond_bound()

    # Sinks

    def set_files(self, specs: Sequence[SinkSpec], taken: Collection[str] = ()) -> None:
        """Write to this file from now on. A file no longer given is completed, or given up if it is in `taken`.

        At most one file is given: each further one has a store of its own. Rows that came before any sink was set go
        into the file. Paths in `taken` belong to other outputs of the session now. Ignored once the store is complete.
        """
        if self._journal.is_complete:
            return
        self._journal.moved = [(named, actual) for named, actual in self._journal.moved if named not in taken]
        specs = [self.rotating.present(self._journal.actual(spec)) for spec in specs]
        self.rotating.end_former(specs)
        targets = [spec.target for spec in specs]
        current = self._journal.target
        if current is not None and current.target not in targets:
            if current.target in taken:
                self._appending.give_file_up()
                self.rotating.end()
                self._checkpoints = 0
            else:
                self.close_file()
        if not specs:
            return
        self.rotating.follow(specs[0])
        if self._journal.target is None:
            self._begin_file(specs[0])
            self.rotating.take_earlier_rows()
        self._journal.take_rules(specs)
        checkpoints = sum(spec.checkpoints for spec in specs)
        if checkpoints != self._checkpoints:
            self._checkpoints = checkpoints
            self._checkpoint()

    def set_blueprint(self, blueprint: Blueprint | None) -> None:
        """Write a blueprint to the present file and to later ones. Ignored once the store is complete."""
        if blueprint is not None and blueprint != self._journal.blueprint and not self._journal.is_complete:
            self._appending.set_blueprint(blueprint)

    @property
    def blueprint(self) -> Blueprint | None:
        """The last blueprint that was set. Any thread may ask."""
        return self._journal.blueprint

    def rotate_if_due(self, *, has_participants: bool = True) -> None:
        """Begin the next part of a file that rotates, if the present one is due. The last sweep must be done."""
        self.rotating.rotate_if_due(has_participants=has_participants)

    def close_file(self, otherwise: str | None = None) -> None:
        """Complete the file and let go of it. Later rows go to the spool.

        If the file cannot be written any more, or another program has replaced it, its rows go to the path
        `otherwise`.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If the file cannot be completed. Its parts stay, and the next call tries again.
        """
        if self._journal.target is None:
            return
        if self.rotating.is_empty():
            self._appending.give_file_up()
        else:
            self._complete_file(otherwise=otherwise)
        self.rotating.end()
        self._checkpoints = 0
        self._writing.failure = None

    def _checkpoint(self) -> None:
        """Complete the file for readers. The next chunk begins another part; they are merged at the end."""
        if self._journal.target is not None and any(part.purpose == "file" for part in self._journal.parts):
            with contextlib.suppress(ResourceError, FlushTimeoutError):  # `_complete_file` has reported it
                self._complete_file(is_final=False)
                self.rotating.read_statics()

    def _complete_file(self, *, otherwise: str | None = None, is_final: bool = True) -> None:
        self._appending.end_part(with_footer=True)
        if self._journal.target is not None and disks.is_discarded(self._journal.target.target):
            self._writing.say(f"{self._journal.target.target} was in a temporary directory, which is gone")
            self._appending.give_file_up()
            return
        if self.chunks.was_followed:
            self.chunks.rows_until(0)  # counts what earlier lives have stored, while it can be told from the rest
        give_up = partial(self._spool.count_part, Reason.WRITE)
        try:
            rules = self._rules.for_backlog()
            Completion(self._journal, self.chunks.lock, rules, give_up, otherwise).run(is_final=is_final)
        except (ResourceError, FlushTimeoutError) as error:
            self._writing.fail(f"{error}; its rows stay in {self.directory}")
            self._journal.failure = str(error)
            self._journal.save()
            raise

    def complete(self, otherwise: str | None = None) -> None:
        """Complete the file, if there is one, for good: the session has ended. A second call changes nothing.

        Parameters
        ----------
        otherwise
            Path of a file for rows that have no file, or whose file cannot be written any more. None: rows without a
            file are not wanted.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If the file cannot be completed. Its parts and the spool stay.
        """
        if self._journal.is_complete:
            return
        if otherwise is not None and self._journal.target is None:
            parts = [part for part in self._journal.parts if part.purpose in ("buffer", "live", "window")]
            self._begin_rescue(otherwise, parts)
        self.close_file(otherwise)
        self._appending.end_part(with_footer=False)
        self._journal.is_complete = True
        self._journal.save()

    def note_elsewhere(self, *, is_elsewhere: bool) -> None:
        """Note whether later rows are for sinks with stores of their own only. They count as delivered then."""
        if is_elsewhere != self.chunks.is_elsewhere:
            self.chunks.is_elsewhere = is_elsewhere
            self._appending.end_buffer()

    def attach_live(self) -> None:
        """Note that a live sink follows. What it can read counts as delivered to a sink."""
        self.chunks.follow()
        self._appending.end_buffer()

    def unfollow(self) -> None:
        """Note that a live sink follows no more: later chunks are not for it."""
        self.chunks.followers -= 1
        self._appending.end_live_part()

    def note_acknowledged(self) -> None:
        """Note what a live sink that followed until `unfollow` has acknowledged since."""
        self._appending.end_live_part()

    def keep_unsent(self, path: str) -> None:
        """Write the rows that no live sink has acknowledged to a file at `path`. The store is complete otherwise.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If it cannot be written. The rows stay in the spool.
        """
        completed, self._journal.is_complete = self._journal.completed, False
        self._begin_rescue(path, self.chunks.unsent())
        self.complete()
        self._journal.completed = [*completed, *self._journal.completed]

    # Rows

    def begin(self, sweep: int, chunk_ids: set[str]) -> None:
        """Note all chunks of a sweep that come to this store, perhaps for the second time."""
        self._spool.begin_sweep(sweep, self._rules.begin(chunk_ids))

    def append(self, chunks: Sequence[ChunkBatch], show: ShowAhead | None = None) -> list[ChunkBatch]:
        """Take chunks, and return those that rerun-sdk refuses. The others are delivered when `flush` has returned.

        Ignored once the store is complete: nothing is new. If a file's rules hold no rows back, `show` may get the
        chunks before they are written, see `Appending.append`. They must be of a sweep that has begun: if the collector
        dies before they are flushed, they come again with the same ids.
        """
        if self._journal.is_complete:
            return []
        return self._appending.append(self._rules.kept(chunks), None if self.chunks.is_ruled else show)

    def flush(self, timeout_secs: float) -> None:
        """Bring everything appended into a file, another one if the present one fails.

        Raises
        ------
        FlushTimeoutError
            If the file still takes rows, but has not taken all in time. Calling again goes on.
        """
        self._appending.flush(timeout_secs)

    def rest(self) -> None:
        """End the part that is being written, which takes threads and a descriptor; the next chunk begins another."""
        self._appending.end_part(with_footer=True)

    def completed_files(self) -> list[WholeFile]:
        """Return the files that were completed last, for good."""
        return self._journal.completed

    @property
    def is_complete(self) -> bool:
        """Whether the store is complete for good: in this life, or an earlier one that ended the session."""
        return self._journal.is_complete

    @property
    def paths(self) -> set[str]:
        """Paths of the present file: where it lies, and where the program wanted it."""
        return self._journal.paths()

    @property
    def is_open(self) -> bool:
        """Whether a part is being written."""
        return self._writing.part is not None

    def reports(self) -> list[SinkStatus]:
        """Return the state of each file, for the user. First bring back what somebody has removed."""
        self._appending.bring_back()
        return self._statuses.current()

    @property
    def drops(self) -> Drops:
        """The rows that the store has given up or held back."""
        return self._journal.drops

    def _begin_file(self, spec: SinkSpec) -> None:
        self._appending.end_part(with_footer=False)
        self._writing.failure = None
        self._journal.begin_target(spec)
        backlog = [part for part in self._journal.parts if part.purpose == "buffer"]
        self.chunks.begin_file(backlog)
        for part in backlog:
            # They belong to the file. If copying fails, completing the file merges them.
            part.purpose, part.is_backlog = "diverted", True
        goes_on = _continue_file(spec.continues, self._journal, self.chunks)
        self._journal.save()  # not before: a next life must not know the target without the part that lies there
        if goes_on or not self._writing.open("file"):
            return
        self._writing.begin_with(backlog, self._rules.for_backlog())
        if any(part.is_inherited for part in backlog):
            # The backlog may end with chunks that come again. They begin another part, and merging drops them.
            self._appending.end_part(with_footer=False)

    def _begin_rescue(self, path: str, parts: Collection[Part]) -> None:
        """Begin a file for the rows in these parts of the spool, also for those that a live sink may have got."""
        self._appending.end_part(with_footer=False)
        if any(part.holds_rows() for part in parts):
            for part in self._journal.parts:
                part.purpose = "buffer" if part in parts else "window" if part.purpose == "buffer" else part.purpose
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._begin_file(SinkSpec("file", path))


def _continue_file(whole: WholeFile | None, journal: Journal, chunks: FlushedChunks) -> bool:
    """Make a complete file that an ended session has left the first part of the target. False: there is none."""
    if whole is None or (whole.device, whole.inode) not in journal.owned:
        return False
    chunks.add_part(Part.of_whole_file(whole, journal.take_number()))
    return True
