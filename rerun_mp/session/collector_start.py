"""Starts a collector, if nobody has.

The starter locks the STARTER byte on a description that it passes on: the guard closes it after it has taken the GUARD
byte, so there is no gap in which a second one could be started; if the start fails, the kernel lets go.

A collector is nobody's child: an intermediate (a shell) starts it in the background and ends at once, so that a
program's `os.wait()` never meets it, nor does a signal to the program's process group or terminal.

Any participant may call `ensure_collector`, and the worker, when its guard is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from io import FileIO

from rerun_mp.errors import CollectorError, SharedMemoryError
from rerun_mp.session import directories
from rerun_mp.shm import introductions as births
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.transient import close_in_children, no_forks

__all__ = ["STARTER_DESCRIPTOR", "ensure_collector", "start_detached"]

STARTER_DESCRIPTOR = 9
"""The descriptor on which the guard inherits the starter's lock."""


own_mailbox = -1
"""In a collector's worker, the socket that it reads and hands on (`births`)."""


def ensure_collector(segment: Segment, *, need_guard: bool = False) -> None:
    """Start a guard, unless a guard or a worker holds its lease, or somebody is starting one.

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
    except SharedMemoryError:
        # Its segment has gone, as it must when a session ends.
        if segment.ring.words[Header.SESSION_STATE] < SessionState.REMOVING:
            raise


def collector_command(segment: Segment, role: str) -> list[str]:
    """Return the command line of a guard or worker."""
    # -P: a script's directory or the working directory must not shadow modules of ours.
    return [sys.executable, "-P", "-m", "rerun_mp.collector", role, segment.living_path, segment.nonce.hex()]


def collector_environment() -> dict[str, str]:
    """Return the environment of a collector: the program's, without what would configure rerun or us in it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RERUN")}
    # What the program can import the collector must be able to import, however the path came about.
    own = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # First comes the script's directory, but in a guard, which starts its worker so.
    found = sys.path if sys.flags.safe_path else sys.path[1:]
    paths = [path for path in found if path and os.path.isdir(path)]
    environment["PYTHONPATH"] = os.pathsep.join(paths if own in paths else [*paths, own])
    # Each sweep copies into memory that the one before it has given back. glibc would return that to the kernel, which
    # zeroes it for us again and again: most of the time that a collector spent on images.
    environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
    environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(64 << 20))
    environment.pop("PYTHONSTARTUP", None)
    environment.pop("PYTHONWARNINGS", None)
    return environment


def _start(segment: Segment, starter: int) -> None:
    log = os.path.join(segment.runtime_directory, "collector.log")
    try:
        mailbox = births.open_mailbox(segment.runtime_directory) if own_mailbox < 0 else own_mailbox
        try:
            start_detached(collector_command(segment, "guard"), log=log, starter=starter, mailbox=mailbox)
        finally:
            if mailbox >= 0 and mailbox != own_mailbox:
                os.close(mailbox)
    except OSError as error:
        raise CollectorError(
            f"no collector could be started: {error.strerror}. Rows wait in shared memory. Check the process limit "
            f"(ulimit -u) and that /bin/sh and {sys.executable} can be run."
        ) from error


def start_detached(command: list[str], *, log: str = os.devnull, starter: int | None = None, mailbox: int = -1) -> None:
    """Start what is to be nobody's child, in a collector's environment.

    Parameters
    ----------
    command
        What to run.
    log
        The file to which its output is appended.
    starter
        A descriptor that it finds as STARTER_DESCRIPTOR.
    mailbox
        A descriptor that it finds as `births.DESCRIPTOR`; -1: none.

    Raises
    ------
    OSError
        If no process can be started.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    if starter is not None:
        actions.append((os.POSIX_SPAWN_DUP2, starter, STARTER_DESCRIPTOR))
    if mailbox >= 0:
        actions.append((os.POSIX_SPAWN_DUP2, mailbox, births.DESCRIPTOR))
    intermediate = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", '"$@" &', "sh", *command],
        collector_environment(),
        file_actions=actions,
        setsid=True,
        setsigmask=[],
    )
    # Somebody's SIGCHLD handler may have been quicker.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(intermediate, 0)
