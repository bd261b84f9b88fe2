"""Lets a producer close the short ways of `log`, which lie above it, when a recording is paused. For any thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from rerun_mp.shm.layout import Attention, Header

__all__ = ["apply_pause", "connect"]

REPEAT_SECS = 0.25
"""Seconds between two looks of a thread that logs while a recording is paused."""

_leave: list[Callable[[], None]] = []


class _Applied:
    """The pause that this process has heeded last, and when it is to be heeded again. A forked child inherits it."""

    pause = 0
    again_at = 0.0


def apply_pause(attention: int, words: memoryview) -> None:
    """Let each thread's next call see whether its recording is paused, if the attention word says so.

    That is due once after each pause. A call that opened a lane meanwhile has not seen the pause, so it is due again a
    moment later. Recordings that are not paused take the long way for one row then. `words`: the segment's words.
    """
    if not attention & Attention.PAUSED:
        return
    now, pause = time.monotonic(), words[Header.PAUSED]
    if pause != _Applied.pause or now >= _Applied.again_at:
        _Applied.pause, _Applied.again_at = pause, now + REPEAT_SECS
        for leave in _leave:
            leave()


def connect(leave: Callable[[], None]) -> None:
    """Call `leave` when a producer has seen a pause."""
    _leave.append(leave)
