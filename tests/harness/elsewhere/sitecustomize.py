"""Lets an interpreter look like one on another system, as ELSEWHERE says. Put this directory into PYTHONPATH.

The interpreter stays a Linux one: so everything else that a program loads, rerun too, is loaded before the names go.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import struct
import sys
from collections.abc import Callable, Sequence

SYSTEM = os.environ.get("ELSEWHERE", "")
"""`darwin`, `win32`, `musl`, `no fcntl`, `no fork`, `no locks` or `no wipe`; empty: nothing changes."""
LOADED = (
    *("asyncio", "concurrent.futures.process", "logging.handlers", "multiprocessing.context", "numpy"),
    *("multiprocessing.managers", "multiprocessing.pool", "multiprocessing.popen_fork", "multiprocessing.reduction"),
    *("multiprocessing.popen_spawn_posix", "multiprocessing.queues", "multiprocessing.resource_tracker", "pyarrow"),
    *("multiprocessing.spawn", "multiprocessing.synchronize", "rerun", "rerun.blueprint", "rerun.chunk", "runpy"),
    *("socket", "subprocess", "tempfile", "uuid"),
)
POSIX = ("fcntl", "grp", "posix_ipc", "psutil", "pwd", "resource", "termios", "tty", "pty")
"""Modules that Windows lacks, or that only a session needs."""
CALLS = ("fork", "forkpty", "register_at_fork", "memfd_create", "pidfd_open", "O_TMPFILE", "sched_getaffinity")
FCNTL, MADVISE = (72, 28) if os.uname().machine == "x86_64" else (25, 233)
ARCHITECTURE = 0xC000003E if os.uname().machine == "x86_64" else 0xC00000B7
F_OFD_SETLK, MADV_WIPEONFORK = 37, 18
REFUSED_WITH_EPERM, ALLOWED = 0x00050001, 0x7FFF0000


class Refusal:
    """A finder that refuses modules."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002 (importlib's)
        """Refuse a module that the system lacks."""
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def load() -> None:
    """Load what a program on the other system loads, too, in the version for Linux."""
    for name in LOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def remove(modules: Sequence[str] = (), calls: Sequence[str] = ()) -> None:
    """Take modules, and names of `os`, out of this interpreter."""
    load()
    for name in modules:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Refusal(modules))
    for name in calls:
        if hasattr(os, name):
            delattr(os, name)


def become(platform: str) -> None:
    """Look like another system."""
    remove(POSIX, CALLS if platform == "win32" else (*CALLS[2:],))
    sys.platform = platform


def become_musl() -> None:
    """Look like a Python for musl."""
    setattr(sys.implementation, "_multiarch", "x86_64-linux-musl")  # noqa: B010 (typeshed does not know it)


def refuse(call: int, argument: int, value: int) -> None:
    """Have the kernel refuse one call by the value of one of its arguments, as a sandbox does (seccomp)."""
    code = (
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 0, 5, ARCHITECTURE),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 3, call),
        (0x20, 0, 0, 16 + 8 * argument),
        (0x15, 0, 1, value),
        (0x06, 0, 0, REFUSED_WITH_EPERM),
        (0x06, 0, 0, ALLOWED),
    )
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code), ctypes.addressof(filters)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0, "no_new_privs"
    assert libc.prctl(22, 2, program) == 0, os.strerror(ctypes.get_errno())


CHANGES: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "darwin": lambda: become("darwin"),
    "win32": lambda: become("win32"),
    "musl": become_musl,
    "no fcntl": lambda: remove(["fcntl"]),
    "no fork": lambda: remove(calls=["register_at_fork"]),
    "no locks": lambda: refuse(FCNTL, 1, F_OFD_SETLK),
    "no wipe": lambda: refuse(MADVISE, 2, MADV_WIPEONFORK),
    "no posix_ipc": lambda: remove(["posix_ipc"]),
}
if not any("resource_tracker" in argument for argument in sys.orig_argv):
    CHANGES[SYSTEM]()
