"""Where a session was founded, and the lock that proves that it lives. Both are in the session's directories.

Containers and hosts may share directories, but not /dev/shm. So a segment that is missing here proves nothing about its
session. Before a recovery, two facts in the session's directories count:

- the *origin*: the boot of the kernel and the /dev/shm that the session was founded in. Only in that /dev/shm does a
  missing segment mean that the session is dead. After another boot, no process of the session can live on this machine.
- the *life lock*: each participant holds a share of a lock on a file in the spool directory, and a worker holds the
  spool directory itself (`directories.hold`). Such locks reach across containers, because the kernel keeps them.

A forked child inherits the share in the life lock, as in `leases`. Any process and thread may call.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from io import FileIO
from typing import NamedTuple

from rerun_mp.session import directories, kinship
from rerun_mp.shm import leases, segment
from rerun_mp.shm.interruptions import suppress_own
from rerun_mp.shm.transient import close_in_children, no_forks

__all__ = ["LIFE_NAME", "ORIGIN_NAME", "Origin", "begin", "has_participants", "hold_life", "is_alive"]

ORIGIN_NAME = "origin.json"
LIFE_NAME = "alive"
ATTEMPTS = 20
"""Attempts to lock or probe the life lock. Another probe, which takes microseconds, may be in the way."""
PAUSE_SECS = 0.001


class Origin(NamedTuple):
    """The boot and the shared memory that a session was founded in."""

    boot: str
    """The kernel's random id of this boot; "" if /proc does not show it."""
    memory: tuple[int, int]
    """Device and inode number of /dev/shm."""
    spool_directory: str
    """The session's spool directory, where the life lock lies."""

    @classmethod
    def here(cls, spool_directory: str = "") -> Origin:
        """Return the origin of a session that is founded by this process."""
        status = os.stat(segment.DIRECTORY)
        return cls(kinship.boot_id(), (status.st_dev, status.st_ino), spool_directory)

    @classmethod
    def read(cls, *session_directories: str) -> Origin | None:
        """Return the origin that the first of these directories names; None if none does."""
        for directory in session_directories:
            with suppress_own(OSError, ValueError, KeyError, TypeError):
                with open(os.path.join(directory, ORIGIN_NAME), encoding="utf-8") as file:
                    raw = json.load(file)
                device, inode = raw["memory"]
                return cls(str(raw["boot"]), (int(device), int(inode)), str(raw["spool_directory"]))
        return None

    def proves_end(self, here: Origin) -> bool:
        """Say whether a session of this origin has ended, if its segment is missing `here` and its locks are free."""
        if not self.boot or not here.boot:
            return False
        return self.boot != here.boot or self.memory == here.memory


def begin(runtime_directory: str, spool_directory: str) -> leases.Lease | None:
    """Make the directories of a new session with its origin, and return this process's share in the life lock.

    Raises
    ------
    PrivacyError, ResourceError, OSError
        If a directory or its origin cannot be made.
    """
    directories.ensure_private(spool_directory)
    # The lock comes first: from its first moment on, a directory with an origin is that of a living session.
    life = hold_life(spool_directory)
    text = json.dumps(Origin.here(spool_directory)._asdict())
    for directory in (spool_directory, runtime_directory):
        directories.replace_file(directory, ORIGIN_NAME, text)
    return life


def hold_life(spool_directory: str) -> leases.Lease | None:
    """Take a share of a session's life lock. None: this process may not, or the file system has no locks."""
    path = os.path.join(spool_directory, LIFE_NAME)
    with (
        suppress_own(OSError),
        no_forks(),
        FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+") as file,
    ):
        descriptor = close_in_children(file)
        if _try(descriptor, fcntl.LOCK_SH):
            return leases.Lease.keep(descriptor, inherited=True)
    return None


def is_alive(spool_directory: str) -> bool:
    """Say whether a process takes part in the session, or a worker writes to its spool."""
    return _is_locked(os.path.join(spool_directory, LIFE_NAME), os.O_RDWR) or _is_locked(
        spool_directory, os.O_RDONLY | os.O_DIRECTORY
    )


def has_participants(spool_directory: str) -> bool:
    """Say whether a process takes part in the session."""
    return _is_locked(os.path.join(spool_directory, LIFE_NAME), os.O_RDWR)


def _is_locked(path: str, flags: int) -> bool:
    try:
        with no_forks():  # a child forked meanwhile would keep the lock
            descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return not _try(descriptor, fcntl.LOCK_EX)
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        return False


def _try(descriptor: int, kind: int) -> bool:
    for attempt in range(ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        if attempt + 1 < ATTEMPTS:
            time.sleep(PAUSE_SECS)
    return False
