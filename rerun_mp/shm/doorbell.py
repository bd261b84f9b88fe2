"""The doorbell: wakes a collector that sleeps.

A POSIX semaphore, made by the collector under a name drawn from the segment's nonce and removed by it. A producer
rings only while the collector's SLEEPING bit is set, so a busy collector costs nobody a system call. The producer's
look at that word may be reordered before its commit store: a ring missed so costs one poll interval, and no row.

`ring` may be called by any thread of a participant; `Bell` belongs to the collector's worker.
"""

from __future__ import annotations

import contextlib
import errno
import time
from typing import Any

import posix_ipc

__all__ = ["Bell", "Ringer", "name_of"]


DEAF_SECS = 0.02


def name_of(nonce: bytes) -> str:
    """Return the semaphore's name: `/dev/shm/sem.` and this, without the slash, is its file."""
    return f"/rmp-{nonce.hex()[:16]}"


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
                self._semaphore = posix_ipc.Semaphore(self._name)
            except (posix_ipc.Error, OSError):
                return
        with contextlib.suppress(posix_ipc.Error, OSError):
            self._semaphore.release()


class Bell:
    """The collector's end. Without a descriptor, or room for a semaphore in /dev/shm, nobody can ring: it naps only."""

    __slots__ = ("_name", "_semaphore")

    def __init__(self, nonce: bytes) -> None:
        self._name = name_of(nonce)
        self._semaphore: Any = None
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
            self._semaphore = posix_ipc.Semaphore(self._name, posix_ipc.O_CREAT, mode=0o600, initial_value=0)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EMFILE, errno.ENFILE):
                raise
            return False
        return True
