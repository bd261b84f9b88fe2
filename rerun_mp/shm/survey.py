"""Which segments lie in `/dev/shm`, and whether anybody lives in them. Looks at headers and locks, and changes nothing.

A founder has its share in the session's life before the segment has a name, and whoever starts a collector holds the
STARTER byte until the collector holds its own. So a segment of which nobody holds any of these bytes has been left
behind: its whole tree was killed, collector included.

Any process and thread may call.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from rerun_mp.errors import ResourceError, SharedMemoryError
from rerun_mp.shm import leases
from rerun_mp.shm.layout import MAGIC, PAGE, Header, Lock
from rerun_mp.shm.segment import DIRECTORY, directory_at, nonce_of, open_checked, read_header

__all__ = ["Found", "survey"]

PREFIX = "rmp-"


class Found(NamedTuple):
    """A segment of this user, as its header describes it."""

    path: str
    nonce: bytes
    runtime_directory: str
    spool_directory: str
    is_leftover: bool
    """Whether nobody lives in it, as far as can be said."""


def survey() -> tuple[list[Found], list[str]]:
    """Return this user's segments, and of what cannot be read as one of this version, why."""
    found: list[Found] = []
    problems: list[str] = []
    for name in sorted(os.listdir(DIRECTORY)):
        if name.startswith(PREFIX):
            try:
                found.append(_look_at(os.path.join(DIRECTORY, name), problems))
            except FileNotFoundError:
                continue
            except ResourceError as error:
                problems.append(str(error))
    return found, problems


def _look_at(path: str, problems: list[str]) -> Found:
    descriptor = open_checked(path)
    try:
        # First who lives there: what is read afterwards can no more be that of somebody who has just come.
        is_leftover = not leases.is_held(descriptor, Lock.BASE, Lock.LIVES)
        try:
            words, _ = read_header(descriptor, path)
        except SharedMemoryError as error:
            words = memoryview(os.pread(descriptor, PAGE, 0).ljust(PAGE, b"\0")).cast("Q")
            if words[Header.MAGIC] != MAGIC:
                raise
            # Of another version, or damaged. Where its files are we may not know, but whose they are.
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
