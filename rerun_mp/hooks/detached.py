"""Starts a process that is not a child of this one: a collector, a recovery, a viewer. Any thread may call.

An intermediate shell starts it in the background and ends at once. So the program's `os.wait()` never meets it, nor
does a signal to the program's process group or terminal.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

__all__ = ["FileAction", "start_detached"]

FileAction = tuple[int, int, int] | tuple[int, int, str, int, int]
"""One entry of `os.posix_spawn`'s `file_actions`."""


def start_detached(command: Sequence[str], environment: Mapping[str, str], file_actions: Sequence[FileAction]) -> None:
    """Start `command` in an operating-system session of its own.

    Raises
    ------
    OSError
        If no process can be started.
    """
    intermediate = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", '"$@" &', "sh", *command],
        environment,
        file_actions=file_actions,
        setsid=True,
        setsigmask=[],
    )
    # A SIGCHLD handler of the program may have collected it first.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(intermediate, 0)
