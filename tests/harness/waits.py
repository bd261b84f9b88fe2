"""Tells how long a thread has waited: its sleeps, without the time for which a busy machine kept it from running.

A call that waits for a viewer, a head or a lock sleeps. A call that is slow because other processes have the processors
does not: it runs, or it could run. Linux counts both times for each thread (`/proc/thread-self/schedstat`).
"""

from __future__ import annotations

import os
import time

__all__ = ["SleepClock"]


class SleepClock:
    """A clock that goes on only while the thread that made it sleeps. That thread reads it."""

    def __init__(self) -> None:
        self._descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)

    def secs(self) -> float:
        """Return the seconds that this thread has slept, from any beginning."""
        running_ns, waiting_to_run_ns, _ = map(int, os.pread(self._descriptor, 100, 0).split())
        return (time.monotonic_ns() - running_ns - waiting_to_run_ns) / 1e9
