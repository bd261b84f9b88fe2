"""Waits for a word in shared memory that another process stores: there is nothing to block on.

Each wait here names what ends it: the condition, the time, or Ctrl-C.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["Progress", "pause_length", "wait_until"]


def pause_length(attempt: int) -> float:
    """Return how many seconds to sleep before the next look: 0.2 ms, doubling to 5 ms."""
    return min(0.0002 * (1 << min(attempt, 5)), 0.005)


def wait_until(
    condition: Callable[[], bool],
    timeout: float | None,
    *,
    meanwhile: Callable[[], None] | None = None,
    every: float = 0.05,
) -> bool:
    """Sleep with growing back-off until `condition` holds. False after `timeout` seconds; None waits for ever.

    `meanwhile` is called every `every` seconds: to watch the collector, to show progress.
    """
    begin = time.monotonic()
    last = begin
    attempt = 0
    while not condition():
        now = time.monotonic()
        if timeout is not None and now - begin >= timeout:
            return False
        if meanwhile is not None and now - last >= every:
            last = now
            meanwhile()
        time.sleep(pause_length(attempt))
        attempt += 1
    return True


class Progress:
    """One line on a terminal's stderr, from the second second of a wait on. Silent elsewhere."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begin = time.monotonic()
        self._shown = False

    def update(self, detail: str) -> None:
        """Show how it goes."""
        waited = time.monotonic() - self._begin
        if waited < 1 or not sys.stderr or not sys.stderr.isatty():
            return
        sys.stderr.write(f"\rrerun_mp: {self._what}: {detail} ({waited:.0f} s)\x1b[K")
        sys.stderr.flush()
        self._shown = True

    def close(self) -> None:
        """Remove the line."""
        if self._shown and sys.stderr:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
