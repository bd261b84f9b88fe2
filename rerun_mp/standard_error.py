"""Lines for the user on standard error. Any process and thread may call.

A program may have no standard error (`2>&-`, a daemon, a windowed program), a closed one, or one on a full disk. A line
that cannot be written is lost, and the call that wanted to write it goes on.
"""

from __future__ import annotations

import sys

__all__ = ["is_terminal", "tell"]


def tell(text: str) -> None:
    """Write a text to standard error, if there is one."""
    stream = sys.stderr
    if stream is not None:
        try:
            stream.write(text)
        except (OSError, ValueError):
            return


def is_terminal() -> bool:
    """Return whether standard error is a terminal."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False
