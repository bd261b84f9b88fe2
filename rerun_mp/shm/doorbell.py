"""The doorbell: wakes a collector that sleeps.

A POSIX semaphore, made by the collector under a name drawn from the segment's nonce and removed by it. A producer
rings only while the collector's SLEEPING bit is set, so a busy collector costs nobody a system call. The producer's
look at that word may be reordered before its commit store: a ring missed so costs one poll interval, and no row.

Somebody else's semaphore of that name is neither rung nor waited for: it would say to others when we log, and let them
wake us.

`ring` may be called by any thread of a participant; `Bell` belongs to the collector's worker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time
from typing import Any

import posix_ipc

__all__ = ["Bell", "Ringer", "name_of", "remove"]


DEAF_SECS = 0.02


def name_of(nonce: bytes) -> str:
    """Return the semaphore's name: `/dev/shm/sem.` and this, without the slash, is its file."""
    return f"/rmp-{nonce.hex()[:16]}"


def remove(nonce: bytes) -> None:
    """Remove the semaphore of a session that nobody lives in, if it is there."""
    with contextlib.suppress(posix_ipc.Error):
        posix_ipc.unlink_semaphore(name_of(nonce))


class Ringer:
    """A participant's end."""

    __slots__ = ("_name", "_semaphore")

    def __init__(self, nonce: bytes) -> None:
        self._name = name_of(nonce)
        self._semaphore: Any = None

    def ring(self) -> None:
        """Wake the collector if there is one to wake."""
        if self._semaphore is None:
            try:
                semaphore = posix_ipc.Semaphore(self._name)
            except (posix_ipc.Error, OSError):
                return
            if not _is_ours(self._name):
                semaphore.close()
                return
            self._semaphore = semaphore
        with contextlib.suppress(posix_ipc.Error, OSError):
            self._semaphore.release()


class Bell:
    """The collector's end.

    Without a descriptor, or a semaphore of ours in /dev/shm, nobody can ring, so it sleeps a moment only.
    """

    __slots__ = ("_has_complained", "_name", "_semaphore")

    def __init__(self, nonce: bytes) -> None:
        self._name = name_of(nonce)
        self._semaphore: Any = None
        self._has_complained = False
        self._make()

    def wait(self, timeout: float) -> bool:
        """Sleep until somebody rings, `timeout` seconds at most. True if somebody did."""
        if self._semaphore is None and not self._make():
            time.sleep(min(timeout, DEAF_SECS))
            return False
        try:
            self._semaphore.acquire(timeout)
        except (posix_ipc.BusyError, posix_ipc.SignalError):
            return False
        self.drain()
        return True

    def drain(self) -> None:
        """Forget the rings that came meanwhile."""
        if self._semaphore is None:
            return
        with contextlib.suppress(posix_ipc.BusyError):
            for _ in range(100_000):
                self._semaphore.acquire(0)

    def remove(self) -> None:
        """Remove the name and let go."""
        if self._semaphore is None:
            return
        with contextlib.suppress(posix_ipc.Error):
            self._semaphore.unlink()
        self._semaphore.close()

    def _make(self) -> bool:
        try:
            semaphore = posix_ipc.Semaphore(self._name, posix_ipc.O_CREAT, mode=0o600, initial_value=0)
        except posix_ipc.PermissionsError:
            # Somebody else's, that we may not even open.
            semaphore = None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EMFILE, errno.ENFILE):
                raise
            return False
        if semaphore is None or not _is_ours(self._name):
            self._complain()
            if semaphore is not None:
                semaphore.close()
            return False
        self._semaphore = semaphore
        return True

    def _complain(self) -> None:
        if not self._has_complained:
            self._has_complained = True
            sys.stderr.write(
                f"rerun_mp: {_path_of(self._name)} is not ours and is not used. Nobody can wake the collector, which "
                f"looks by itself every {DEAF_SECS} s. Remove that file.\n"
            )


def _path_of(name: str) -> str:
    return f"/dev/shm/sem.{name[1:]}"


def _is_ours(name: str) -> bool:
    """Say whether the semaphore of this name is this user's, and open to nobody else."""
    try:
        found = os.stat(_path_of(name), follow_symlinks=False)
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
