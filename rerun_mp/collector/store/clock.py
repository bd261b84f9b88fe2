"""The clocks by which a store rotates files and removes old parts. Tests hand in clocks that run faster. Any thread."""

from __future__ import annotations

import time

__all__ = ["SYSTEM_CLOCK", "Clock"]


class Clock:
    """The machine's clocks."""

    def boot_secs(self) -> float:
        """Return the seconds since the machine's start, those in suspension included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def wall_ns(self) -> int:
        """Return the nanoseconds since the epoch. The user may set this clock, so it may jump."""
        return time.time_ns()


SYSTEM_CLOCK = Clock()
