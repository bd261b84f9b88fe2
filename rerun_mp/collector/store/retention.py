"""Removes the oldest complete parts of a file that rotates, as its `Rotation` says, and counts their rows.

The part list counts a part as removed before its file is removed. So a collector that was killed in between counts no
part twice, and its successor removes the file. Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import contextlib
import os

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.clock import SYSTEM_CLOCK, Clock
from rerun_mp.collector.store.window import Window
from rerun_mp.session.rotation import (
    ClosedPart,
    PartList,
    Rotation,
    add_to_part_list,
    lock_part_list,
    part_list_path,
    read_part_list,
    write_part_list,
)

__all__ = ["Retention"]


class Retention:
    """The complete parts of the files at one path, also those of earlier sessions."""

    def __init__(self, path: str, clock: Clock = SYSTEM_CLOCK) -> None:
        self._path = path
        self._clock = clock
        self._failure: int | None = None
        """Error number of the last attempt to write the list; None: it was written."""
        self._stamp = _stamp_of(path)
        """The part list's file when it was last read or written here."""
        self._list = read_part_list(path)
        self._unlink(self._list.removing)

    @property
    def parts(self) -> list[ClosedPart]:
        """The complete parts that stay, the oldest first."""
        return self._list.parts

    @property
    def removed_rows(self) -> int:
        """Number of rows in the parts that have been removed."""
        return self._list.removed_rows

    def add(self, part: ClosedPart) -> bool:
        """Name a complete part in the part list, if it is not there yet. False: the list cannot be written now."""
        with lock_part_list(self._path):
            self._read_if_changed()
            if any((known.path, known.session) == (part.path, part.session) for known in self._list.parts):
                return True
            try:
                add_to_part_list(self._path, part)
            except OSError as error:
                self._say_once(error)
                return False
            self._failure = None
            self._list.parts.append(part)
            self._stamp = _stamp_of(self._path)
        return True

    def apply(self, rotation: Rotation, window: Window | None = None, session: str = "") -> None:
        """Remove the parts that are beyond the bounds.

        Parameters
        ----------
        rotation
            The bounds.
        window
            The window of `keep_last`, if the rotation has one.
        session
            The name of the present session in the parts.
        """
        if not self._beyond(self._list.parts, rotation, window, session):
            return
        with lock_part_list(self._path):
            self._read_if_changed()
            gone = self._beyond(self._list.parts, rotation, window, session)
            kept = [part for part in self._list.parts if part not in gone]
            # A file that another program has put there, or has changed, is not the part any more.
            there = [part for part in gone if _is_there(part)]
            rows = self._list.removed_rows + sum(part.rows for part in there)
            paths = [part.path for part in there]
            self._list = PartList(kept, self._list.removed_parts + len(there), rows, paths)
            is_written = self._write_list()
            self._unlink(paths)
            if not is_written:
                self._write_list()  # the removed files may have made room
        if window is not None:
            window.forget(gone)

    def _read_if_changed(self) -> None:
        """Read the list if another run at the path has changed it. A run of days has thousands of lines in it."""
        stamp = _stamp_of(self._path)
        if stamp is None or stamp != self._stamp:
            self._list, self._stamp = read_part_list(self._path), stamp

    def _write_list(self) -> bool:
        try:
            write_part_list(self._path, self._list)
        except OSError as error:
            self._say_once(error)
            return False
        self._stamp = _stamp_of(self._path)
        return True

    def _say_once(self, error: OSError) -> None:
        if self._failure != error.errno:
            say(f"rerun_mp: the part list of {self._path} cannot be written: {error.strerror}")
        self._failure = error.errno

    def _beyond(
        self, parts: list[ClosedPart], rotation: Rotation, window: Window | None, session: str
    ) -> list[ClosedPart]:
        """Return the parts that are beyond the bounds."""
        number = 0 if rotation.keep_parts is None else max(0, len(parts) - rotation.keep_parts)
        if rotation.keep_bytes is not None:
            size = sum(part.bytes for part in parts[number:])
            while size > rotation.keep_bytes:
                size -= parts[number].bytes
                number += 1
        if rotation.keep_seconds is not None:
            oldest = self._clock.wall_ns() - int(rotation.keep_seconds * 1e9)
            while number < len(parts) and parts[number].closed_ns < oldest:
                number += 1
        gone = parts[:number]
        if window is not None and rotation.keep_last is not None:
            gone += [part for part in window.beyond(parts, rotation.keep_last, session) if part not in gone]
        return gone

    def _unlink(self, paths: list[str]) -> None:
        for path in paths:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _stamp_of(path: str) -> tuple[int, int, int] | None:
    """Return what changes when the part list of `path` does; None if there is none."""
    try:
        status = os.stat(part_list_path(path))
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _is_there(part: ClosedPart) -> bool:
    try:
        return os.path.getsize(part.path) == part.bytes
    except OSError:
        return False
