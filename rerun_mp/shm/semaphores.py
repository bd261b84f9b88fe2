"""Named semaphores of POSIX: those of posix_ipc, or the same calls of the C library where posix_ipc is not installed.

posix_ipc has no wheel for Python 3.14, and its sources need a compiler. `Semaphore` has the part of posix_ipc's class
that the doorbell uses, with its exceptions. Any thread may use one; forked children share it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from typing import TYPE_CHECKING

__all__ = ["O_CREAT", "BusyError", "Error", "PermissionsError", "Semaphore", "SignalError", "unlink_semaphore"]

O_CREAT = os.O_CREAT


class Error(OSError):
    """The C library refused a call on a semaphore."""


class BusyError(Error):
    """The semaphore was zero for as long as the call waits."""


class SignalError(Error):
    """A signal handler ran while the call waited."""


class PermissionsError(Error):
    """This user may not open the semaphore."""


KINDS = {
    errno.EAGAIN: BusyError,
    errno.ETIMEDOUT: BusyError,
    errno.EINTR: SignalError,
    errno.EACCES: PermissionsError,
    errno.EPERM: PermissionsError,
}
"""Classes of the errors that have one of their own."""


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


def _check(status: int | None, *, failed: int | None = -1) -> None:
    if status == failed:
        code = ctypes.get_errno()
        raise KINDS.get(code, Error)(code, os.strerror(code))


class Semaphore:
    """A semaphore with a name, such as `/mine`.

    Raises
    ------
    PermissionsError
        If this user may not open it.
    Error
        If it is not there and not to be made, or the C library cannot make it.
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
        BusyError
            If the count stayed zero.
        SignalError
            If a signal interrupted the wait.
        """
        if timeout <= 0:
            _check(_libc.sem_trywait(self._address))
            return
        until = time.time_ns() + int(timeout * 1e9)
        _check(_libc.sem_timedwait(self._address, _Time(until // 10**9, until % 10**9)))

    def release(self) -> None:
        """Count up by one."""
        _check(_libc.sem_post(self._address))

    def unlink(self) -> None:
        """Remove the name. Processes that have opened it can go on."""
        unlink_semaphore(self._name)

    def close(self) -> None:
        """Give the semaphore up in this process."""
        _check(_libc.sem_close(self._address))


def unlink_semaphore(name: str) -> None:
    """Remove a semaphore's name."""
    _check(_libc.sem_unlink(name.encode()))


if not TYPE_CHECKING:
    try:
        import posix_ipc
    except ImportError:
        pass
    else:
        globals().update({name: getattr(posix_ipc, name) for name in __all__})
