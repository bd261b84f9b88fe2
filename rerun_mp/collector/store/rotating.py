"""The parts of a file that rotates: when the next one begins, and what it begins with.

Each part is a target of the store, completed and published like any file, before the next one becomes the target. A
part ends between two sweeps. So a collector that repeats its predecessor's sweep writes to the same part, and each row
is in one part. The journal has the number of the present part. A successor of a collector that was killed

- before the present part was complete: completes it when it is due again;
- after that, and before the next part became the target: begins the next part.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.appending import Appending
from rerun_mp.collector.store.clock import Clock
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal, Series
from rerun_mp.collector.store.part_rows import PartRows
from rerun_mp.collector.store.part_writer import PartWriter
from rerun_mp.collector.store.parts import Part
from rerun_mp.collector.store.retention import Retention
from rerun_mp.collector.store.sources import Sources
from rerun_mp.collector.store.statics import Statics, restore_carried
from rerun_mp.collector.store.window import Window
from rerun_mp.errors import FlushTimeoutError
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import (
    ClosedPart,
    Rotation,
    is_part_or_list,
    lock_part_list,
    number_of,
    part_path,
    part_paths,
)

__all__ = ["Rotating"]

MAX_RETIRED = 256
"""Maximum number of complete parts that live sinks can still read. A sink that is further behind leaves rows out; they
are in the files."""
LOOK_SECS = 0.5
"""Seconds between two looks for parts that are too old."""
NO_FILE = (0, 0, 0)
"""The claim of a part that has no file yet. If a file lies at its path, another program has made it."""
RETRY_SECS = 5.0
"""Seconds between two attempts to complete a part."""


class Rotating:
    """The rotation of one store's file. It does nothing if the file does not rotate."""

    def __init__(
        self,
        journal: Journal,
        chunks: FlushedChunks,
        writing: PartWriter,
        appending: Appending,
        nonce: bytes,
        complete: Callable[[], None],
        begin: Callable[[SinkSpec], None],
        clock: Clock,
    ) -> None:
        """Take the store's parts. `complete` completes its target for good, and `begin` begins another one."""
        self._clock = clock
        self._journal = journal
        self._chunks = chunks
        self._writing = writing
        self._appending = appending
        self._session = nonce.hex()[:16]
        self._complete = complete
        self._begin = begin
        self._spec: SinkSpec | None = None
        """The file, with the path of the part that was the present one when the configuration was applied."""
        self._rotation = Rotation()
        self.readers = 0
        """Number of readers for which the old parts stay."""
        self._rows = PartRows(journal, chunks)
        self._next_attempt = self._next_look = 0.0
        self._retention: Retention | None = None
        self._window: Window | None = None
        if journal.series is not None:
            with contextlib.suppress(OSError):  # it is not there, and there is no room to write it
                self._restore_carried(journal.series)
            self._statics().read(journal.series.carried, self._parts())

    def _restore_carried(self, series: Series) -> None:
        if series.carried is not None:
            restore_carried(series.carried, self._journal.recording, self._parts())

    def present(self, spec: SinkSpec) -> SinkSpec:
        """Return a sink of the configuration with the path of its present part."""
        series, target = self._journal.series, self._journal.target
        if series is None or spec.rotation is None or spec.target != series.first:
            return spec
        path = part_path(series.path, series.number) if target is None else target.target
        return replace(spec, target=path, claim=None)

    def end_former(self, specs: Sequence[SinkSpec]) -> None:
        """End a series that no sink goes on with: the last collector was killed after it had completed its last part.

        `specs`: sinks as `present` returns them.
        """
        series = self._journal.series
        if series is not None and self._journal.target is None:
            following = part_path(series.path, series.number)
            if not any(spec.rotation is not None and spec.target == following for spec in specs):
                self.end()

    def follow(self, spec: SinkSpec) -> None:
        """Take the settings of the store's file, as `present` returns it. A file that is new begins its series.

        If the last collector was killed between two parts, begin the next one.
        """
        self._spec = spec if spec.rotation is not None else None
        if self._spec is None:
            return
        assert spec.rotation is not None
        if self._journal.target is None:
            # It saves the journal, and a next life must not know the part without its target.
            self._appending.end_part(with_footer=False)
        self._rotation = Rotation.of_values(spec.rotation)
        is_new = self._journal.series is None
        if self._journal.series is None:
            assert spec.wanted is not None
            self._retention = None
            self._journal.series = Series(
                spec.target, spec.wanted, number_of(spec.target), spec.episodes, recording_id=spec.recording_id
            )
            self._rows.begin()
            self._statics()
            self._window = None
        if self._window is None and self._rotation.keep_last is not None:
            self._window = Window(self._journal.series, self._clock)
        if not is_new and self._journal.target is None:
            self._record()
            self._begin_next()
            self.take_earlier_rows()

    def rotate_if_due(self, *, has_participants: bool) -> None:
        """Begin the next part if the present one is large, old, or not wanted any longer.

        Rows that are stored while the session has no participants were logged earlier: they do not move a window.
        """
        series, spec = self._journal.series, self._spec
        if series is None or spec is None:
            return
        self._appending.resume_file_if_there_is_room()
        now = self._clock.boot_secs()
        if self._window is not None:
            self._window.note_rows(self._chunks.rows, are_new=has_participants)
        if now >= self._next_look:
            self._next_look = now + LOOK_SECS
            if series.unlisted:
                self._list_parts(series)
                self._journal.save()
            if self._window is not None or self._rotation.keep_seconds is not None:
                self._remove_old(series)
        if self._has_no_chunk():
            if series.episodes != spec.episodes:
                series.episodes = spec.episodes
                self._journal.save()
            return
        if series.began is None:
            series.began = now
            self._journal.save()
        if self._is_due(spec, now - series.began, series.episodes) and now >= self._next_attempt:
            self._next_attempt = now + RETRY_SECS
            if self._writing.failure is None and self._rotate(series):
                self._next_attempt = 0.0

    @property
    def removed_rows(self) -> int:
        """Number of rows in the parts that the `Rotation`'s bounds have removed."""
        series = self._journal.series
        return 0 if series is None else self._kept(series).removed_rows

    def rows_until_now(self) -> int:
        """Return how many rows all lives of the collector have stored in the parts, also in parts that are gone.

        The first call of a life may read what an earlier life has stored in the present part.
        """
        return self._journal.closed_rows + self._rows.until_now(self._parts())

    @property
    def is_on(self) -> bool:
        """Whether the store's file rotates."""
        return self._journal.series is not None

    def sources(self) -> Sources | None:
        """Return the files that hold what the store still has; None if there are none."""
        self._appending.bring_file_back_at_once()
        series = self._journal.series
        complete = [] if series is None else [one for one in self._kept(series).parts if self._is_of(series, one)]
        with self._chunks.lock:
            found = Sources(self._journal, [part.path for part in complete])
        return found if found.files else None

    def _is_of(self, series: Series, part: ClosedPart) -> bool:
        recording = part.application_id, part.recording_id
        is_of_session = part.session == self._session and recording == self._journal.recording_of(series)
        return is_of_session and part.number >= number_of(series.first)

    def is_empty(self) -> bool:
        """Whether the present part holds nothing but what the part before it holds, too."""
        series = self._journal.series
        return series is not None and series.number != number_of(series.first) and self._has_no_chunk()

    def take_earlier_rows(self) -> None:
        """Count the rows that came before the file, with which it has begun, and find their static chunks."""
        if self._journal.series is not None:
            self._rows.take_earlier(self._parts())
            self.read_statics()

    def read_statics(self) -> None:
        """Find the static chunks of the present file, which was merged, or begins with chunks stored before."""
        if self._journal.series is not None:
            self._statics().read(self._journal.series.carried, self._parts())

    def end(self) -> None:
        """Note that the last part is complete, or given up."""
        series = self._journal.series
        if series is not None:
            self._record()
            if self._spec is not None:
                self._remove_old(series)
            self._journal.series = self._chunks.statics = self._spec = None
            self._rows.begin()
            self._window = None
            self._journal.save()
            _remove(series.carried)

    def _kept(self, series: Series) -> Retention:
        if self._retention is None:
            self._retention = Retention(series.path, self._clock)
        return self._retention

    def _remove_old(self, series: Series) -> None:
        if not self.readers:
            self._kept(series).apply(self._rotation, self._window, self._session)

    def _statics(self) -> Statics:
        if self._chunks.statics is None:
            self._chunks.statics = Statics(self._journal.recording)
        return self._chunks.statics

    def _parts(self) -> list[Part]:
        return [part for part in self._journal.parts if part.purpose in ("file", "diverted")]

    def _has_no_chunk(self) -> bool:
        return not any(part.chunks for part in self._parts())

    def _is_due(self, spec: SinkSpec, age: float, episodes: int) -> bool:
        max_bytes, max_seconds = self._rotation.bytes, self._rotation.seconds
        return (
            spec.episodes != episodes
            or (max_seconds is not None and age >= max_seconds)
            or (max_bytes is not None and sum(part.size() for part in self._parts()) >= max_bytes)
        )

    def _rotate(self, series: Series) -> bool:
        """Complete the present part and begin the next one. False: the present part cannot be completed now."""
        try:
            self._appending.end_part(with_footer=True)
            self._restore_carried(series)
            path = os.path.join(os.path.dirname(self._journal.path), f"carried-{series.number + 1:04}.rrd")
            moved = self._statics().write(path, series.carried, self._parts())
            series.next_carried = path if moved else None
            with open(path, "rb") if moved else contextlib.nullcontext() as carried:
                self._complete()
                if carried is not None and not os.path.exists(path):
                    _put_back(path, carried, self._writing)
        except (OSError, FlushTimeoutError) as error:
            say(f"rerun_mp: {part_path(series.path, series.number)} cannot be completed yet: {error}")
            return False
        self._record()
        self._begin_next(moved or {})
        self._remove_old(series)
        return True

    def _begin_next(self, moved: dict[int, int] | None = None) -> None:
        """Make the next part the target. `moved`: result of `Statics.write`, if this life has called it."""
        series, spec = self._journal.series, self._spec
        assert series is not None
        assert spec is not None
        former = series.carried
        series.episodes, series.began = spec.episodes, None
        series.carried, series.next_carried = series.next_carried, None
        if moved is None:
            self._statics().read(series.carried, ())
        else:
            self._statics().move(moved)
        self._rows.begin()
        with lock_part_list(series.path):  # another run at the path must not take the same number
            series.number = max(next(part_paths(series.path))[0], series.number + 1)
            self._begin(replace(spec, target=part_path(series.path, series.number), claim=NO_FILE))
        _remove(former)
        self._forget_retired()

    def _record(self) -> None:
        """Name the part that has just been completed in the part list, if it is not there yet. The caller saves."""
        series = self._journal.series
        assert series is not None
        recording = self._journal.recording_of(series)
        # The present part may have been given up. The last one is in the list then, or was removed from it.
        last = self._journal.completed[:1]
        is_new = last and last[0] != self._journal.closed and is_part_or_list(last[0].path, series.path)
        for whole in last if is_new else ():
            rows = self._rows.of_complete(whole.path)
            closed = ClosedPart(
                whole.path,
                series.number,
                *recording,
                socket.gethostname(),
                self._session,
                rows,
                whole.size,
                self._clock.wall_ns(),
            )
            self._journal.closed = whole
            self._journal.closed_rows += rows
            if self._window is not None:
                self._window.note_closed(series.number)
            series.unlisted = [one for one in series.unlisted if one["path"] != closed.path] + [closed._asdict()]
        self._list_parts(series)

    def _list_parts(self, series: Series) -> None:
        """Name the complete parts in the part list, as far as its disk has room. The caller saves the journal."""
        while series.unlisted and self._kept(series).add(ClosedPart(**series.unlisted[0])):
            del series.unlisted[0]

    def _forget_retired(self) -> None:
        retired = [part for part in self._journal.parts if part.purpose == "retired"]
        with self._chunks.lock:
            for part in retired[:-MAX_RETIRED]:
                self._journal.parts.remove(part)


def _put_back(path: str, carried: BinaryIO, writing: PartWriter) -> None:
    """Write a carried file again, which somebody has removed with the spool while a part was completed."""
    with contextlib.suppress(OSError):  # there is no room
        writing.make_directory()
        with open(path, "wb") as copy:
            shutil.copyfileobj(carried, copy)


def _remove(path: str | None) -> None:
    if path is not None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
