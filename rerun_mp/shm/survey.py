"""Finds this user's segments in `/dev/shm`, and which of them are left over. Reads headers and locks; changes nothing.

A founder holds its share of the participants lock before the segment has a name. A process that starts a collector
holds the STARTER lock until the collector holds locks of its own. So a segment on which no process holds one of these
locks is left over: every process of its session was killed, the collector included.

Any process and thread may call `survey`.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from rerun_mp.errors import ResourceError, SharedMemoryError
from rerun_mp.shm import leases
from rerun_mp.shm.layout import MAGIC, PAGE, Header, Lock, root_of
from rerun_mp.shm.segment import DIRECTORY, directory_at, nonce_of, open_checked, read_header

__all__ = ["Found", "find_root", "header_at", "survey"]

PREFIX = "rmp-"


class Found(NamedTuple):
    """A segment of this user, as its header describes it."""

    path: str
    nonce: bytes
    runtime_directory: str
    spool_directory: str
    is_leftover: bool
    """Whether no process lives in it. False if its header cannot be read."""


def survey() -> tuple[list[Found], list[str]]:
    """Return this user's segments, and an error text for each of them that this version cannot read.

    Files of other users are passed over: this user may neither read nor remove them.
    """
    found: list[Found] = []
    problems: list[str] = []
    own = os.geteuid()
    for name in sorted(os.listdir(DIRECTORY)):
        if name.startswith(PREFIX):
            path = os.path.join(DIRECTORY, name)
            try:
                if os.stat(path, follow_symlinks=False).st_uid == own:
                    found.append(_look_at(path, problems))
            except FileNotFoundError:
                continue
            except ResourceError as error:
                problems.append(str(error))
    return found, problems


def find_root(path: str) -> bytes | None:
    """Return the root of the segment at `path`. None: there is none.

    Raises
    ------
    PrivacyError, SharedMemoryError
        As `segment.attach`.
    """
    words = header_at(path)
    return None if words is None else root_of(words)


def header_at(path: str) -> memoryview | None:
    """Return a copy of the header of the segment at `path`, as words. None: there is none.

    Raises
    ------
    PrivacyError, SharedMemoryError
        As `segment.attach`.
    """
    try:
        descriptor = open_checked(path)
    except FileNotFoundError:
        return None
    try:
        return read_header(descriptor, path)[0]
    finally:
        os.close(descriptor)


def _look_at(path: str, problems: list[str]) -> Found:
    descriptor = open_checked(path)
    try:
        # The locks first: if no process holds one, no process changes the header that is read after that.
        is_leftover = not leases.is_held(descriptor, Lock.BASE, Lock.LIVES)
        try:
            words, _ = read_header(descriptor, path)
        except SharedMemoryError as error:
            words = memoryview(os.pread(descriptor, PAGE, 0).ljust(PAGE, b"\0")).cast("Q")
            if words[Header.MAGIC] != MAGIC:
                raise
            # Another version's, or damaged. Its directories are unknown, but its nonce is known.
            problems.append(str(error))
            return Found(path, nonce_of(words), "", "", is_leftover=False)
        memory = words.cast("B")
        return Found(
            path,
            nonce_of(words),
            directory_at(memory, Header.RUNTIME_DIRECTORY, path),
            directory_at(memory, Header.SPOOL_DIRECTORY, path),
            is_leftover,
        )
    finally:
        os.close(descriptor)
