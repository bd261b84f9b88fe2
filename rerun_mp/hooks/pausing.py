"""Lets a producer invalidate the lanes of `log`, a module above it, when a recording is paused. Any thread may call."""

from __future__ import annotations

import time
from collections.abc import Callable

from rerun_mp.shm.layout import Attention, Header

__all__ = ["apply_pause", "connect"]

REPEAT_SECS = 0.25
"""Seconds after which a pause is applied again, while it lasts."""

_leave: list[Callable[[], None]] = []


class _Applied:
    """The pause that this process has applied last, and when it applies it again. A forked child inherits both."""

    pause = 0
    again_at = 0.0


def apply_pause(attention: int, words: memoryview) -> None:
    """If the attention word names a pause, let the next call of each thread check whether its recording is paused.

    Once after each pause is not enough, because a call that opens a lane at that moment has not seen the pause. So the
    function does this again every `REPEAT_SECS`. Recordings that are not paused then take the slow path for one row.
    `words`: the segment's words.
    """
    if not attention & Attention.PAUSED:
        return
    now, pause = time.monotonic(), words[Header.PAUSED]
    if pause != _Applied.pause or now >= _Applied.again_at:
        _Applied.pause, _Applied.again_at = pause, now + REPEAT_SECS
        for leave in _leave:
            leave()


def connect(leave: Callable[[], None]) -> None:
    """Have `apply_pause` call `leave`."""
    _leave.append(leave)
