"""The collector's log: its standard error, a file in the session's runtime directory."""

from __future__ import annotations

import os

__all__ = ["say"]

STDERR = 2


def say(message: str) -> None:
    """Write one line to the log, from any thread. If the disk is full, the line is lost."""
    try:
        # os.write instead of print: print keeps a line that it cannot write, and fails again at the next one.
        os.write(STDERR, (message + "\n").encode())
    except OSError:
        return
