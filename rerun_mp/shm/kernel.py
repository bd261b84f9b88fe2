"""The system calls that Python's own modules do not offer as this package needs them. Linux.

`mmap.mmap` keeps a descriptor, which the program may close (daemonising code closes all descriptors). So this module
makes mappings through ctypes, which keep no descriptor. They live until the process ends or calls exec.

Any thread may call these functions. They keep no state.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

__all__ = [
    "MADV_DOFORK",
    "MADV_DONTFORK",
    "MADV_POPULATE_WRITE",
    "MADV_WIPEONFORK",
    "PAGE_BYTES",
    "advise",
    "barrier",
    "barrier_for_own_threads",
    "fence",
    "link_descriptor",
    "map_file",
    "register_for_barriers",
    "unmap",
]

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
"""Bytes of a memory page of this machine: 4, 16 or 64 KiB."""

MADV_DONTFORK = 10
MADV_DOFORK = 11
MADV_WIPEONFORK = 18
MADV_POPULATE_WRITE = 23

_PROT_READ = 1
_PROT_WRITE = 2
_MAP_SHARED = 1
_MAP_PRIVATE = 2
_MAP_ANONYMOUS = 32
_FAILED = ctypes.c_void_p(-1).value

_MEMBARRIER = {"x86_64": 324, "aarch64": 283}
"""Number of the system call membarrier(2), Linux 4.16 for these commands."""
_GLOBAL_EXPEDITED = 1 << 1
_REGISTER_GLOBAL_EXPEDITED = 1 << 2
_PRIVATE_EXPEDITED = 1 << 3
_REGISTER_PRIVATE_EXPEDITED = 1 << 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_long]
_libc.syscall.restype = ctypes.c_long
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def map_file(descriptor: int, size: int, *, writable: bool, shared: bool = True) -> int:
    """Map `size` bytes of a file and return the address. The descriptor may be closed afterwards.

    Without `shared`, stores into the mapping stay in this process.
    """
    protection = _PROT_READ | (_PROT_WRITE if writable else 0)
    kind = _MAP_SHARED if shared else _MAP_PRIVATE
    return _checked_address(_libc.mmap(None, size, protection, kind, descriptor, 0))


def map_private(size: int) -> int:
    """Map `size` bytes of zeroed private memory and return the address."""
    return _checked_address(_libc.mmap(None, size, _PROT_READ | _PROT_WRITE, _MAP_PRIVATE | _MAP_ANONYMOUS, -1, 0))


def unmap(address: int, size: int) -> None:
    """Undo a mapping. A later read of it crashes the process."""
    _check(_libc.munmap(address, size))


def advise(address: int, size: int, advice: int) -> None:
    """Call madvise(2).

    Raises
    ------
    OSError
        EINVAL where the kernel does not know the advice.
    """
    _check(_libc.madvise(address, size, advice))


def register_for_barriers() -> bool:
    """Have the collector's `barrier` reach this process's threads. False: the kernel does not offer that.

    A forked child is registered as its parent is; after exec a process must register again.
    """
    return _membarrier(_REGISTER_GLOBAL_EXPEDITED)


def barrier() -> bool:
    """Make every running thread of every registered process pass a full memory barrier. False: not offered."""
    return _membarrier(_GLOBAL_EXPEDITED)


def barrier_for_own_threads() -> None:
    """Make every running thread of this process pass a full memory barrier, if the kernel offers that."""
    if _membarrier(_REGISTER_PRIVATE_EXPEDITED):
        _membarrier(_PRIVATE_EXPEDITED)


def fence() -> None:
    """Run a full memory barrier on this processor.

    An atomic release followed by an acquire of the same word orders everything before it with everything after it.
    """
    semaphore = _private_semaphore()
    _libc.sem_post(semaphore)
    _libc.sem_trywait(semaphore)


@cache
def _private_semaphore() -> ctypes.Array[ctypes.c_char]:
    """Return a `sem_t` (32 bytes on 64-bit Linux). A forked child has a copy of its own."""
    made = ctypes.create_string_buffer(32)
    _libc.sem_init(made, 0, 1)
    return made


def _membarrier(command: int) -> bool:
    number = _MEMBARRIER.get(os.uname().machine)
    return number is not None and _libc.syscall(number, command, 0, 0) == 0


def view(address: int, size: int) -> memoryview:
    """Return a writable view of mapped memory as bytes. The mapping must outlive the view."""
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


def link_descriptor(descriptor: int, path: str) -> None:
    """Give an O_TMPFILE file a name, atomically.

    Raises
    ------
    FileExistsError
        If the name is taken.
    """
    # os.link ignores follow_symlinks unless a directory descriptor makes it use linkat(2).
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(
            f"/proc/self/fd/{descriptor}",
            os.path.basename(path),
            src_dir_fd=directory,
            dst_dir_fd=directory,
            follow_symlinks=True,
        )
    finally:
        os.close(directory)


def _checked_address(address: int | None) -> int:
    if address is None or address == _FAILED:
        error = ctypes.get_errno()
        raise OSError(error, f"mmap: {os.strerror(error)}")
    return address


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
