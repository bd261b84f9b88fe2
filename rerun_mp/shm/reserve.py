"""A descriptor of the segment for a process that may change its user, as workers of servers do after a fork.

A claim opens the segment's file, which only the session's user may open. So a process of root opens the file
beforehand, and keeps the descriptor. After a change of the user (setuid), claims and the entry in the producers table
use this descriptor.

Guarantees: the description belongs to one process, because a forked child opens its own; so this process may unlock
what it has locked there. The program may close the descriptor, and its number may then belong to another file: each use
compares the inode first.

Any thread may call. The callers hold `transient.no_forks()`, so that one thread at a time claims through it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from rerun_mp.shm import leases
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.shm.layout import Geometry

__all__ = ["Reserve", "ReserveLocks", "open_or_duplicate", "reserve_pages"]


class Reserve:
    """The descriptor, if this process has one, and the bytes that it locks for claims."""

    __slots__ = ("_descriptor", "_identity", "_locked", "_pid")

    def __init__(self) -> None:
        self._descriptor = -1
        self._identity = (0, 0)
        self._pid = 0
        self._locked: set[int] = set()

    def renew(self, open_segment: Callable[[], int]) -> None:
        """Close the inherited descriptor, and open a new one if this process is root's and may change its user."""
        inherited = self._descriptor if self._is_same() else -1
        self._descriptor, self._locked = -1, set()
        if inherited >= 0:
            os.close(inherited)
        if os.geteuid() == 0:
            with contextlib.suppress(OSError):
                self._descriptor = open_segment()
                found = os.fstat(self._descriptor)
                self._identity, self._pid = (found.st_dev, found.st_ino), os.getpid()

    def descriptor(self) -> int:
        """Return the descriptor. -1: this process has none, or the program has closed it."""
        return self._descriptor if self._pid == os.getpid() and self._is_same() else -1

    def lock(self, byte: int) -> bool:
        """Lock a byte without waiting. False: another process, or a call that this one has interrupted, has it."""
        if byte in self._locked:
            return False
        # In this order: a signal handler that claims in between passes over the byte.
        self._locked.add(byte)
        has_it = False
        try:
            has_it = leases.try_lock(self._descriptor, byte)
        finally:
            if not has_it:
                self._locked.discard(byte)
        return has_it

    def unlock(self, byte: int) -> None:
        """Unlock a byte that this process has locked."""
        if self.descriptor() >= 0:
            leases.unlock(self._descriptor, byte)
        self._locked.discard(byte)

    def _is_same(self) -> bool:
        if self._descriptor < 0:
            return False
        try:
            found = os.fstat(self._descriptor)
        except OSError as error:
            if not is_own(error):
                raise
            return False
        return (found.st_dev, found.st_ino) == self._identity


class ReserveLocks:
    """The locks of the slots that one claim tries, on the segment's reserve. `release` ends them."""

    __slots__ = ("_geometry", "_locked", "_reserve")

    def __init__(self, reserve: Reserve, geometry: Geometry) -> None:
        self._reserve = reserve
        self._geometry = geometry
        self._locked: list[int] = []

    def lock(self, slot: int) -> bool:
        """Take a slot's lock without waiting."""
        if not self._reserve.lock(Lock.SLOTS + slot):
            return False
        self._locked.append(Lock.SLOTS + slot)
        return True

    def reserve(self, slot: int) -> bool:
        """Reserve a slot's pages, as `ClaimLocks.reserve`."""
        geometry = self._geometry
        return reserve_pages(self._reserve.descriptor(), geometry.slot_offset(slot), geometry.slot_bytes)

    def release(self) -> None:
        """Unlock the slots that are locked."""
        for byte in self._locked:
            self._reserve.unlock(byte)


def open_or_duplicate(open_segment: Callable[[], int], reserve: Reserve) -> tuple[int, bool]:
    """Open the segment. If this process may not any more, return a duplicate of its reserve, and True.

    Raises
    ------
    PermissionError
        If it has no reserve either.
    """
    try:
        return open_segment(), False
    except PermissionError:
        kept = reserve.descriptor()
        if kept < 0:
            raise
        return fcntl.fcntl(kept, fcntl.F_DUPFD_CLOEXEC, 0), True


def reserve_pages(descriptor: int, offset: int, size: int) -> bool:
    """Reserve pages of /dev/shm, so that a store into them cannot raise SIGBUS. False: it is full."""
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as error:
        if not is_own(error):
            raise
        return False
    return True
