"""Starts a process that is not a child of this one: a collector, a recovery, a viewer. Any thread may call.

An intermediate process starts it and ends at once. So the program's `os.wait()` never meets it, nor does a signal to
the program's process group or terminal. The intermediate is a shell, which starts in a millisecond; on a machine
without one it is a Python, which takes twenty.

The calls come from the module `posix`: gevent replaces those of `os`, and its `waitpid` waits for ever for a child that
gevent has not started.
"""

from __future__ import annotations

import contextlib
import os
import posix
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from rerun_mp.hooks.interpreters import find_python, is_frozen, python_command

__all__ = ["DETACH", "SHELL", "FileAction", "start_detached", "without_inheritable"]

FileAction = tuple[int, int] | tuple[int, int, int] | tuple[int, int, str, int, int]
"""One entry of `os.posix_spawn`'s `file_actions`."""

SHELL = "/bin/sh"
FORK_AND_RUN = "import os, sys; os.fork() and os._exit(0); os.execvp(sys.argv[1], sys.argv[1:])"
"""What a Python does in place of the shell."""
DETACH = "detach"
"""What a frozen program does in its place: the role of `rerun_mp.collector` that runs a command."""
RESET_SIGNALS = (signal.SIGCHLD, signal.SIGTERM)
"""Signals that a program may ignore, which exec keeps, and that a detached process needs: a guard waits for its worker,
and SIGTERM ends a viewer."""
REAL_TIME = (os.SCHED_FIFO, os.SCHED_RR)
"""Scheduling policies that a program may have chosen for its control loop. A detached process must not have them: it
would keep that loop, and everything else, from its processor."""


def without_inheritable(file_actions: Sequence[FileAction]) -> list[FileAction]:
    """Return file actions that first close the inheritable descriptors, except those that they copy and 0 to 2.

    A pipe ends when all of its writers have ended, and a program may wait for that: `Process.join` of `multiprocessing`
    waits for the end of a pipe that the spawned child has. A process that the child starts may outlive the child, so
    this process must not have the pipe.
    """
    copied = {action[1] for action in file_actions if action[0] == os.POSIX_SPAWN_DUP2}
    closed: list[FileAction] = []
    with contextlib.suppress(OSError):
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            with contextlib.suppress(OSError):  # that of the directory, or one that another thread has closed
                if descriptor > 2 and descriptor not in copied and os.get_inheritable(descriptor):
                    closed.append((os.POSIX_SPAWN_CLOSE, descriptor))
    return [*closed, *file_actions]


def start_detached(command: Sequence[str], environment: Mapping[str, str], file_actions: Sequence[FileAction]) -> None:
    """Start `command` in an operating-system session of its own. It gets streams and copied descriptors.

    Raises
    ------
    OSError
        If no process can be started.
    CollectorError
        If there is neither a shell nor a Python.
    """
    file_actions = without_inheritable(file_actions)
    try:
        _start(SHELL, ["sh", "-c", '"$@" &', "sh", *command], environment, file_actions)
    except (FileNotFoundError, PermissionError):
        if os.access(SHELL, os.X_OK):
            raise  # the error concerns a path in a file action
        if is_frozen():
            forker = [*python_command("rerun_mp.collector"), DETACH]
        else:
            forker = [find_python(), "-I", "-S", "-c", FORK_AND_RUN]
        _start(forker[0], [*forker, *command], environment, file_actions)


def _usual_scheduling() -> dict[str, Any]:
    """Return the argument of `posix_spawn` that makes the process a usual one, if this thread is a real-time thread."""
    is_real_time = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK in REAL_TIME
    return {"scheduler": (os.SCHED_OTHER, os.sched_param(0))} if is_real_time else {}


def _start(path: str, command: list[str], environment: Mapping[str, str], file_actions: Sequence[FileAction]) -> None:
    intermediate = os.posix_spawn(
        path,
        command,
        environment,
        file_actions=file_actions,
        setsid=True,
        setsigmask=[],
        setsigdef=RESET_SIGNALS,
        **_usual_scheduling(),
    )
    # The program's SIGCHLD handler, or another thread's loop of os.wait(), may have collected it first.
    with contextlib.suppress(ChildProcessError):
        posix.waitpid(intermediate, 0)
