"""The collector's log: its standard error, a file in the session's runtime directory.

The disk under that file may be full. The line is lost then, and nothing else.
"""

from __future__ import annotations

import os

__all__ = ["say"]

STDERR = 2


def say(message: str) -> None:
    """Write one line to the log. Any thread may call this."""
    try:
        # os.write instead of print: print would keep what it cannot write, and fail again at the next line.
        os.write(STDERR, (message + "\n").encode())
    except OSError:
        return
