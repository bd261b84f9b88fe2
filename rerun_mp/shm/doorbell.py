"""The doorbell: wakes a sleeping collector.

The doorbell is a POSIX semaphore. The collector makes it under a name derived from the segment's nonce, and removes it.
A producer rings only while the collector's SLEEPING bit is set, so that a busy collector costs producers no system
call. The processor may move the producer's read of that bit before its commit store. A ring missed for this reason
delays rows by one poll interval and loses none.

If another user owns a semaphore of this name, neither side uses it: it would tell that user when this session logs, and
let that user wake the collector.

Any thread of a participant may call `Ringer.ring`. `Bell` belongs to the collector's worker.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import Any

from rerun_mp.shm import semaphores
from rerun_mp.shm.interruptions import is_own, suppress_own
from rerun_mp.standard_error import tell

__all__ = ["Bell", "Ringer", "name_of", "remove"]

DEAF_SECS = 0.02
"""Maximum seconds that a collector without a doorbell sleeps."""


def name_of(nonce: bytes) -> str:
    """Return the semaphore's name. Its file is `/dev/shm/sem.` followed by the name without its slash."""
    return f"/rmp-{nonce.hex()[:16]}"


def remove(nonce: bytes) -> None:
    """Remove the semaphore of a session without processes, if it is there."""
    with contextlib.suppress(OSError):
        semaphores.unlink_semaphore(name_of(nonce))


class Ringer:
    """A participant's end of the doorbell."""

    __slots__ = ("_name", "_semaphore")

    def __init__(self, nonce: bytes) -> None:
        self._name = name_of(nonce)
        self._semaphore: Any = None

    def prepare(self) -> None:
        """Open the semaphore, if it is there: this process may not be allowed to once it has changed its user."""
        if self._semaphore is None:
            try:
                semaphore = semaphores.Semaphore(self._name)
            except (semaphores.Error, OSError) as error:
                if not is_own(error):
                    raise
                return
            if not _is_ours(self._name):
                semaphore.close()
                return
            self._semaphore = semaphore

    def ring(self) -> None:
        """Wake the collector, if it has a doorbell."""
        if self._semaphore is None:
            self.prepare()
            if self._semaphore is None:
                return
        with suppress_own(semaphores.Error, OSError):
            self._semaphore.release()


class Bell:
    """The collector's end of the doorbell.

    If the collector cannot make the semaphore, it sleeps `DEAF_SECS` at a time instead.
    """

    __slots__ = ("_has_complained", "_name", "_semaphore")

    def __init__(self, nonce: bytes) -> None:
        self._name = name_of(nonce)
        self._semaphore: semaphores.LibcSemaphore | None = None
        self._has_complained = False
        self._make()

    def wait(self, timeout: float) -> bool:
        """Sleep until a producer rings, at most `timeout` seconds. True: a producer rang."""
        if self._semaphore is None and not self._make():
            time.sleep(min(timeout, DEAF_SECS))
            return False
        assert self._semaphore is not None
        try:
            self._semaphore.acquire(timeout)
        except (BlockingIOError, TimeoutError, InterruptedError):
            return False
        self.drain()
        return True

    def drain(self) -> None:
        """Discard the rings that have arrived."""
        if self._semaphore is None:
            return
        with contextlib.suppress(BlockingIOError):
            for _ in range(100_000):
                self._semaphore.acquire(0)

    def remove(self) -> None:
        """Unlink and close the semaphore."""
        if self._semaphore is None:
            return
        with contextlib.suppress(OSError):
            self._semaphore.unlink()
        self._semaphore.close()

    def _make(self) -> bool:
        try:
            semaphore = semaphores.LibcSemaphore(self._name, semaphores.O_CREAT, mode=0o600, initial_value=0)
        except PermissionError:
            # Another user's semaphore, which this process may not even open.
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
            tell(
                f"rerun_mp: {_path_of(self._name)} is not ours and is not used. Producers cannot wake the collector, "
                f"which looks for rows every {DEAF_SECS} s instead. Remove that file.\n"
            )


def _path_of(name: str) -> str:
    return f"/dev/shm/sem.{name[1:]}"


def _is_ours(name: str) -> bool:
    """Say whether this user owns the semaphore of this name and is the only one who may open it."""
    try:
        found = os.stat(_path_of(name), follow_symlinks=False)
    except OSError:
        return False
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
