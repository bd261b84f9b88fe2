"""Notices: a session leaves lines in the runtime directory of another. The processes there print them at their exit.

A program that finds its path taken by another session leaves a notice there, and so does a collector that has to write
to another path than the user named. Any process and thread of the user may call.
"""

from __future__ import annotations

import os
import sys

from rerun_mp.shm.interruptions import suppress_own

__all__ = ["leave_notice", "say", "take_notices"]

NOTICES_NAME = "notices.txt"
MAX_BYTES = 16 << 10
"""Maximum bytes of a session's notices. Further ones are not kept."""


def say(text: str) -> None:
    """Write a line to standard error, if there is one."""
    with suppress_own(OSError, ValueError, AttributeError):
        sys.stderr.write(f"rerun_mp: {text}\n")


def leave_notice(runtime_directory: str, text: str) -> None:
    """Leave a line for the processes of a session. A session that has ended gets none."""
    with suppress_own(OSError):
        descriptor = os.open(_path(runtime_directory), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size < MAX_BYTES:
                os.write(descriptor, (" ".join(text.split()) + "\n").encode())
        finally:
            os.close(descriptor)


def take_notices(runtime_directory: str) -> list[str]:
    """Return the notices of a session, and remove them, so that one process prints each."""
    taken = f"{_path(runtime_directory)}.{os.getpid()}"
    with suppress_own(OSError):
        os.rename(_path(runtime_directory), taken)
        with open(taken, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        os.unlink(taken)
        return lines
    return []


def _path(runtime_directory: str) -> str:
    return os.path.join(runtime_directory, NOTICES_NAME)
