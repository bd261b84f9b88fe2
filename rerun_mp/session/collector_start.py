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
from rerun_mp.hooks.detached import SHELL, FileAction, start_detached
from rerun_mp.hooks.interpreters import find_python, is_frozen, is_plain_python, python_command
from rerun_mp.session import collector_check, directories
from rerun_mp.session.waiting import wait_until
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
    "collector_paths",
    "ensure_collector",
    "output_to",
]

STARTER_DESCRIPTOR = 9
"""The descriptor on which the guard inherits the starter's lock."""
LETTING_GO_SECS = 1.0
"""Seconds that guard and worker may take to end after they have let go of the program."""
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
        If no process can be started, or the guard waits because workers cannot start.
    """
    if segment.ring.words[Header.SESSION_STATE] == SessionState.ENDED:
        return
    collector_check.check_pause(segment)
    try:
        with no_forks(), FileIO(segment.open(is_ending=True), "r+") as file:
            descriptor = close_in_children(file)
            if segment.ring.words[Header.IS_AWAY]:
                # Guard and worker are about to end.
                wait_until(lambda: not leases.is_held(descriptor, Lock.GUARD, 2), LETTING_GO_SECS)
            if leases.is_held(descriptor, Lock.GUARD) or (not need_guard and leases.is_held(descriptor, Lock.WORKER)):
                return
            if not leases.try_lock(descriptor, Lock.STARTER) or leases.is_held(descriptor, Lock.GUARD):
                return
            segment.restore_identity()
            directories.ensure_private(segment.runtime_directory)
            with FileIO(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, STARTER_DESCRIPTOR + 1), "r+") as starter:
                _start(segment, close_in_children(starter))
                segment.ring.words[Header.IS_AWAY] = 0
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
    return [*python_command("rerun_mp.collector"), role, segment.living_path, segment.nonce.hex()]


def collector_paths() -> list[str]:
    """Return the directories in which a collector finds every module that the program finds.

    The program may have changed its `sys.path`, or have an interpreter that the collector has not.
    """
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if is_plain_python() and not sys.flags.safe_path:
        # The path begins with the script's directory. A guard, which runs with -P and starts the worker, has none.
        entries = sys.path[1:]
    else:
        entries = [path for path in sys.path if os.path.isabs(path)]
    # A guard and a worker leave the program's directory, so a relative path would lead elsewhere.
    paths = [os.path.abspath(path) for path in entries if path and os.path.isdir(path)]
    return paths if own in paths else [*paths, own]


def collector_environment() -> dict[str, str]:
    """Return the environment of a collector: the program's, without variables that configure rerun or rerun_mp."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN")}
    environment["PYTHONPATH"] = os.pathsep.join(collector_paths())
    if is_frozen():
        # A program in one file has unpacked itself for as long as it runs. The collector runs longer, and unpacks anew.
        environment["PYINSTALLER_RESET_ENVIRONMENT"] = "1"
    # Each sweep copies into memory that the sweep before has freed. By default glibc returns such memory to the kernel,
    # which zeroes it again and again: most of the time that a collector spent on images.
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(MMAP_THRESHOLD_BYTES))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(TRIM_THRESHOLD_BYTES))
    # Numpy's linear algebra would start a thread for each further processor, and each one spins for 0.03 s at first.
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
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
    actions = output_to(os.path.join(segment.runtime_directory, collector_check.LOG))
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
            f"(ulimit -u) and that {SHELL} and {find_python()} can be run."
        ) from error
