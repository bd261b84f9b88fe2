"""Leases: the kernel states which processes live and which may write. No timeout and no pid decides that.

All locks are byte ranges (`layout.Lock`) of the segment's own inode. They are open-file-description locks: they exclude
threads and processes alike, and belong to an open file description, not to a process or a descriptor number.

A lease must survive a program that closes all its descriptors. So it keeps its description alive by a one-page mapping.
The kernel drops the mapping, and with it the lock, when the process dies (even while it is a zombie) or calls exec.
Each lease states whether a forked child holds it, too:

- the *participants'* shared lease is inherited: there is no gap between fork and the child's first call;
- a *producer's* lease is not (MADV_DONTFORK): the child is another producer.

No code but `reserve` unlocks a byte, because an unlock through an inherited description would drop the parent's lock. A
lease ends by `Lease.release` (unmapping), or with its process. To find out whether a lease is held, call `is_held`
(F_OFD_GETLK). An attempt to take it could make the rightful owner's attempt fail.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from rerun_mp.errors import ResourceError
from rerun_mp.shm import kernel
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import PAGE

__all__ = ["ForkGuard", "Lease", "is_held", "is_shared", "try_lock", "unlock"]

_FLOCK = struct.Struct("hhqqi4x")


def try_lock(descriptor: int, byte: int, *, shared: bool = False) -> bool:
    """Lock one byte through `descriptor` without waiting. False: another description's lock is in the way."""
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, byte, 1, 0))
    except OSError as error:
        # A sandbox that refuses the call (EPERM) must not look like a lock that another process holds.
        if not is_own(error) or error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def unlock(descriptor: int, byte: int) -> None:
    """Unlock one byte. Only for a description that this process alone uses, see `reserve`."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, byte, 1, 0))


def is_held(descriptor: int, byte: int, count: int = 1) -> bool:
    """Say whether another open file description than `descriptor`'s locks one of `count` bytes from `byte` on."""
    return _holding(descriptor, byte, count) != fcntl.F_UNLCK


def is_shared(descriptor: int, byte: int) -> bool:
    """Say whether another open file description than `descriptor`'s holds a shared lock on `byte`."""
    return _holding(descriptor, byte) == fcntl.F_RDLCK


def _holding(descriptor: int, byte: int, count: int = 1) -> int:
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, count, 0))
    return int(_FLOCK.unpack(answer)[0])


class Lease:
    """A lock that lives as long as this process (and, if inherited, its forked children), or until released."""

    __slots__ = ("_address",)

    def __init__(self, address: int) -> None:
        self._address = address

    @classmethod
    def keep(cls, descriptor: int, *, inherited: bool) -> Lease:
        """Keep the locks of `descriptor`'s description after the descriptor is closed."""
        address = kernel.map_file(descriptor, PAGE, writable=False)
        if not inherited:
            kernel.advise(address, PAGE, kernel.MADV_DONTFORK)
        return cls(address)

    def release(self) -> None:
        """End the lease in this process. Forked children that inherited it still hold it."""
        address, self._address = self._address, 0
        if address:
            kernel.unmap(address, PAGE)


def _advise(address: int, advice: int, name: str) -> None:
    try:
        kernel.advise(address, PAGE, advice)
    except OSError as error:
        kernel.unmap(address, PAGE)
        raise ResourceError(
            f"the kernel or a sandbox refuses madvise({name}): {error.strerror}. Without it a forked child cannot "
            "be told from its parent. Linux has it since 4.14; allow the call in the sandbox."
        ) from error


class ForkGuard:
    """Bytes that read 0 in every forked child, also after a fork made in C.

    Each producer of a process arms a byte of its own. A call that a fork interrupts still reads the byte of the
    producer it began with, and finds 0.
    """

    __slots__ = ("_next", "page")

    def __init__(self) -> None:
        """Map the page.

        Raises
        ------
        ResourceError
            If the kernel or a sandbox refuses MADV_WIPEONFORK, by which a child is told from its parent, or
            MADV_DONTFORK, which leases need.
        """
        address = kernel.map_private(PAGE)
        for name, advice in (("MADV_DONTFORK", kernel.MADV_DONTFORK), ("MADV_DOFORK", kernel.MADV_DOFORK)):
            _advise(address, advice, name)
        _advise(address, kernel.MADV_WIPEONFORK, "MADV_WIPEONFORK")
        self.page = kernel.view(address, PAGE)
        self._next = 0

    def arm(self) -> int:
        """Set the next byte to 1 and return its index."""
        index = self._next
        self._next = (index + 1) % PAGE
        self.page[index] = 1
        return index
