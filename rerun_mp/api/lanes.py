"""Lanes: per-thread caches of what a `log` or `set_time` call needs, so that the common call looks nothing up.

A lane is valid while its `version` equals this module's. Code that changes what a call of any thread means (another
active recording, another prefix, a pause, a fork) calls `leave_lanes`. The next call of each thread then takes the slow
path, which opens the lane again. Any thread may call.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from rerun_mp.hooks import pausing

if TYPE_CHECKING:
    from rerun_mp.producer.hot_appends import Append

__all__ = ["Lane", "Lanes", "active_lanes", "leave_lanes"]

version = 0
"""The number of `leave_lanes` calls so far. A slow call reads it before it looks up its recording."""


class Lane:
    """What the next `log` or `set_time` call of one thread needs."""

    __slots__ = ("sequences", "static_tables", "tables", "times", "version")

    def __init__(self) -> None:
        self.version = -1
        """The module's `version` when the lane was opened."""
        self.tables: dict[object, Append] = {}
        """The append functions of open tables, by archetype type (the table used last) and by layout.

        The key `float` stands for bare numbers.
        """
        self.static_tables: dict[object, Append] = {}
        """The append functions of open tables of static rows, by layout."""
        self.times: dict[str, int] = {}
        """The thread's time on each timeline: the `values` of its `Timepoint`."""
        self.sequences: set[str] = set()
        """The timelines in `times` that are sequences."""


class Lanes(threading.local):
    """One lane per thread; `lane` is the calling thread's."""

    def __init__(self) -> None:
        self.lane = Lane()


active_lanes = Lanes()
"""The lanes of calls without `recording=`. A call that names a recording uses the lanes of that recording's state."""


def leave_lanes() -> None:
    """Invalidate the lanes of all threads."""
    global version
    version += 1


# A forked child must not append to the tables of its parent.
os.register_at_fork(after_in_child=leave_lanes)
pausing.connect(leave_lanes)
