"""Named semaphores of POSIX: the C library's for the collector, which waits, and posix_ipc's for producers, which ring.

The collector's wait must use the monotonic clock: with the wall clock, a clock that is set back by an hour makes an
idle collector sleep for an hour. posix_ipc has no such wait. But a ring through posix_ipc costs a tenth of one through
ctypes. Where it is not installed (it has no wheel for Python 3.14), producers call the C library, too.

Any thread may use a semaphore; forked children share it.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import TYPE_CHECKING

__all__ = ["O_CREAT", "Error", "LibcSemaphore", "Semaphore", "unlink_semaphore"]

O_CREAT = os.O_CREAT


class _Time(ctypes.Structure):
    """`struct timespec` of 64-bit Linux."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.sem_open.restype = ctypes.c_void_p
_libc.sem_open.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_uint]
for _name in ("sem_post", "sem_trywait", "sem_close"):
    getattr(_libc, _name).argtypes = [ctypes.c_void_p]
_libc.sem_timedwait.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Time)]
_libc.sem_unlink.argtypes = [ctypes.c_char_p]
_clockwait = getattr(_libc, "sem_clockwait", None)
"""The wait in a chosen clock: glibc 2.30 and later, not musl."""
if _clockwait is not None:
    _clockwait.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Time)]


def _check(status: int | None, *, failed: int | None = -1) -> None:
    if status == failed:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class LibcSemaphore:
    """A semaphore with a name, such as `/mine`.

    Raises
    ------
    FileNotFoundError
        If it is not there, and not to be made.
    PermissionError
        If this user may not open it.
    OSError
        If the C library cannot make it.
    """

    __slots__ = ("_address", "_name")

    def __init__(self, name: str, flags: int = 0, mode: int = 0o600, initial_value: int = 0) -> None:
        self._name = name
        self._address = _libc.sem_open(name.encode(), flags, mode, initial_value)
        _check(self._address, failed=None)

    def acquire(self, timeout: float) -> None:
        """Count down by one, after at most `timeout` seconds.

        Raises
        ------
        BlockingIOError, TimeoutError
            If the count stayed zero.
        InterruptedError
            If a signal interrupted the wait.
        """
        if timeout <= 0:
            _check(_libc.sem_trywait(self._address))
        elif _clockwait is not None:
            _check(_clockwait(self._address, time.CLOCK_MONOTONIC, _later(time.monotonic_ns(), timeout)))
        else:
            _check(_libc.sem_timedwait(self._address, _later(time.time_ns(), timeout)))

    def release(self) -> None:
        """Count up by one."""
        _check(_libc.sem_post(self._address))

    def unlink(self) -> None:
        """Remove the name. Processes that have opened it can go on."""
        unlink_semaphore(self._name)

    def close(self) -> None:
        """Give the semaphore up in this process."""
        _check(_libc.sem_close(self._address))


def _later(now_ns: int, secs: float) -> _Time:
    until = now_ns + int(secs * 1e9)
    return _Time(until // 10**9, until % 10**9)


def unlink_semaphore(name: str) -> None:
    """Remove a semaphore's name."""
    _check(_libc.sem_unlink(name.encode()))


Semaphore = LibcSemaphore
"""The class that producers use."""
Error = OSError
"""The error that this class raises."""

if not TYPE_CHECKING:
    try:
        from posix_ipc import Error, Semaphore
    except ImportError:
        pass
