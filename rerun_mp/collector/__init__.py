"""Floor 2: the collector's processes. See `guard` (what is started), `worker` (what drains), `sweep` (one drain).

What they say goes to their log, which lies on a disk that may be full: then it is lost, and nothing else.
"""

from __future__ import annotations

import os

__all__ = ["say"]

STDERR = 2


def say(message: str) -> None:
    """Write a line to the log. Any thread may call."""
    try:
        # Not by `print`: Python would keep what it cannot write, and fail again at the next line.
        os.write(STDERR, (message + "\n").encode())
    except OSError:
        return
