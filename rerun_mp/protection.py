"""Says whether this machine has everything that a session needs. If not, `rerun_mp` is plain rerun (`rerun_mp.plain`).

A session needs Linux 4.14 with glibc, locks of open file descriptions, `/dev/shm`, and memory that the kernel clears in
forked children. This module tries each of them when `rerun_mp` is imported: a version number says nothing about a
sandbox. It imports a module that a platform may lack only inside a try. A forked child keeps its parent's answer.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import cache

from rerun_mp.errors import ResourceError
from rerun_mp.settings import parse_switch

__all__ = ["REQUIRE", "ensure", "is_protected", "what_is_missing"]

REQUIRE = "RERUN_MP_REQUIRE"
"""The environment variable that makes a machine without protection an error of the import."""
SYSTEMS = {"darwin": "macOS", "win32": "Windows", "cygwin": "Windows (Cygwin)", "emscripten": "a browser"}
"""Names of systems, by `sys.platform`."""
SHARED_MEMORY = "/dev/shm"
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system or a system call that this machine does not offer. Others, such as EMFILE, may pass."""


def is_protected() -> bool:
    """Say whether rows are safe as rerun_mp promises. False: `rerun_mp` is plain rerun on this machine.

    RERUN_MP_REQUIRE=1 makes `import rerun_mp` raise `ResourceError` instead.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.is_protected()
    True
    """
    return not what_is_missing()


def ensure() -> None:
    """Raise where protection is required and missing.

    Raises
    ------
    ResourceError
        If RERUN_MP_REQUIRE is on, and this machine lacks something.
    """
    missing = what_is_missing()
    if missing and parse_switch(os.environ.get(REQUIRE, "").strip()):
        raise ResourceError(
            f"{missing}, so rerun_mp cannot protect rows here, and {REQUIRE} is set. Unset it to run with plain rerun."
        )


@cache
def what_is_missing() -> str:
    """Return what this machine lacks, as the beginning of a sentence; "" if it lacks nothing."""
    if sys.platform != "linux":
        return f"this system is {SYSTEMS.get(sys.platform, sys.platform)}, and rerun_mp's sessions need Linux"
    if "musl" in getattr(sys.implementation, "_multiarch", ""):
        return "this system's C library is musl, and rerun_mp's sessions need glibc"
    return _missing_in_python() or _missing_in_kernel()


def _missing_in_python() -> str:
    try:
        import ctypes
        import fcntl
        import resource  # noqa: F401
    except ImportError as error:
        return f"this Python has no module {error.name}"
    places = ((os, ("fork", "register_at_fork", "O_TMPFILE", "memfd_create")), (fcntl, ("F_OFD_SETLK", "F_OFD_GETLK")))
    for module, names in places:
        for name in names:
            if not hasattr(module, name):
                return f"this Python has no {module.__name__}.{name}"
    libc = ctypes.CDLL(None)
    for name in ("mmap", "madvise", "sem_open"):
        if not hasattr(libc, name):
            return f"this system's C library has no {name}"
    return ""


def _missing_in_kernel() -> str:
    from rerun_mp.shm import kernel, leases

    address = kernel.map_private(kernel.PAGE_BYTES)
    try:
        kernel.advise(address, kernel.PAGE_BYTES, kernel.MADV_WIPEONFORK)
    except OSError as error:
        return f"the kernel or a sandbox refuses madvise(MADV_WIPEONFORK) ({error.strerror}), which Linux 4.14 has"
    finally:
        kernel.unmap(address, kernel.PAGE_BYTES)
    try:
        descriptor = os.open(SHARED_MEMORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        return f"{SHARED_MEMORY} cannot be used ({error.strerror})" if error.errno in ABSENT else ""
    try:
        leases.try_lock(descriptor, 0)
    except OSError as error:
        return f"the kernel or a sandbox refuses locks of open file descriptions ({error.strerror})"
    finally:
        os.close(descriptor)
    return ""
