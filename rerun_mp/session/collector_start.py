"""Starts a collector if the session has none.

The starter locks the STARTER byte on an open file description and passes that on. The guard closes it after it has
taken the GUARD byte, so at no moment a second collector could be started. If the start fails, the kernel releases the
lock.

Any participant may call `ensure_collector`; a worker calls it when its guard is gone.
"""

from __future__ import annotations

import fcntl
import os
import sys
from io import FileIO

from rerun_mp.errors import CollectorError, SharedMemoryError
from rerun_mp.hooks.detached import FileAction, start_detached
from rerun_mp.session import directories
from rerun_mp.shm import introductions as births
from rerun_mp.shm import leases
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.transient import close_in_children, no_forks

__all__ = [
    "STARTER_DESCRIPTOR",
    "collector_command",
    "collector_environment",
    "ensure_collector",
    "output_to",
]

STARTER_DESCRIPTOR = 9
"""The descriptor on which the guard inherits the starter's lock."""
MMAP_THRESHOLD_BYTES = 32 << 20
"""Allocations up to this size come from a collector's heap, see `collector_environment`."""
TRIM_THRESHOLD_BYTES = 64 << 20
"""Free memory up to this size stays at the top of a collector's heap."""

own_mailbox = -1
"""In a collector's worker: the socket that it reads, and passes on to a guard that it starts (`introductions`)."""


def ensure_collector(segment: Segment, *, need_guard: bool = False) -> None:
    """Start a guard, unless a guard or a worker holds its lease, or another process is starting one.

    Parameters
    ----------
    segment
        The session's segment.
    need_guard
        Start one even if a worker lives.

    Raises
    ------
    CollectorError
        If no process can be started.
    """
    state = segment.ring.words[Header.SESSION_STATE]
    if state == SessionState.ENDED:
        return
    try:
        with no_forks(), FileIO(segment.open(is_ending=state != SessionState.LIVE), "r+") as file:
            descriptor = close_in_children(file)
            if leases.is_held(descriptor, Lock.GUARD) or (not need_guard and leases.is_held(descriptor, Lock.WORKER)):
                return
            if not leases.try_lock(descriptor, Lock.STARTER) or leases.is_held(descriptor, Lock.GUARD):
                return
            segment.restore_identity()
            directories.ensure_private(segment.runtime_directory)
            with FileIO(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STARTER_DESCRIPTOR + 1), "r+") as starter:
                _start(segment, close_in_children(starter))
    except PermissionError:
        # This process has changed its user, and can look for a collector, but not start one.
        descriptor = segment.reserve.descriptor()
        if descriptor < 0 or not leases.is_held(descriptor, Lock.GUARD, 2):
            raise
    except SharedMemoryError:
        # The end of a session removes its segment. Earlier than that, something else did.
        if segment.ring.words[Header.SESSION_STATE] < SessionState.REMOVING:
            raise


def collector_command(segment: Segment, role: str) -> list[str]:
    """Return the command line of a guard or worker."""
    # -P: modules in the script's directory or the working directory must not shadow those that the collector imports.
    return [sys.executable, "-P", "-m", "rerun_mp.collector", role, segment.living_path, segment.nonce.hex()]


def collector_environment() -> dict[str, str]:
    """Return the environment of a collector: the program's, without variables that configure rerun or rerun_mp."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN")}
    # The collector must find every module that the program finds, also along a sys.path that the program has changed.
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # A program's path begins with the script's directory. A guard, which runs with -P and starts the worker, has none.
    entries = sys.path if sys.flags.safe_path else sys.path[1:]
    paths = [path for path in entries if path and os.path.isdir(path)]
    environment["PYTHONPATH"] = os.pathsep.join(paths if own in paths else [*paths, own])
    # Each sweep copies into memory that the sweep before has freed. By default glibc returns such memory to the kernel,
    # which zeroes it again and again: most of the time that a collector spent on images.
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(MMAP_THRESHOLD_BYTES))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(TRIM_THRESHOLD_BYTES))
    environment.pop("PYTHONSTARTUP", None)
    environment.pop("PYTHONWARNINGS", None)
    return environment


def output_to(log: str) -> list[FileAction]:
    """Return the file actions of a process that reads nothing and appends its output to `log`."""
    return [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]


def _start(segment: Segment, starter: int) -> None:
    """Start a guard that inherits the descriptor `starter`, and with it the lock."""
    actions = output_to(os.path.join(segment.runtime_directory, "collector.log"))
    actions.append((os.POSIX_SPAWN_DUP2, starter, STARTER_DESCRIPTOR))
    try:
        mailbox = births.open_mailbox(segment.runtime_directory) if own_mailbox < 0 else own_mailbox
        try:
            if mailbox >= 0:
                actions.append((os.POSIX_SPAWN_DUP2, mailbox, births.DESCRIPTOR))
            start_detached(collector_command(segment, "guard"), collector_environment(), actions)
        finally:
            if mailbox >= 0 and mailbox != own_mailbox:
                os.close(mailbox)
    except OSError as error:
        if not is_own(error):
            raise
        raise CollectorError(
            f"no collector could be started: {error.strerror}. Rows wait in shared memory. Check the process limit "
            f"(ulimit -u) and that /bin/sh and {sys.executable} can be run."
        ) from error
