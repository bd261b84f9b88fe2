"""A process's watch on its session's collector: starts one if there is none, and notes for how long that has failed.

Any thread may call. A forked child makes its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.errors import CollectorError, ResourceError
from rerun_mp.session import collector_start
from rerun_mp.shm.interruptions import is_own

if TYPE_CHECKING:
    from rerun_mp.shm.segment import Segment

__all__ = ["CollectorWatch"]

NO_COLLECTOR_SECS = 5.0
"""Seconds without a collector after which a call gives up waiting for one, if none could be started."""


class CollectorWatch:
    """Looks after the collector of one session."""

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._failing: tuple[float, CollectorError | OSError] | None = None
        """Since when (monotonic clock) each attempt of this process to start a collector failed, and the last error."""

    def look(self) -> None:
        """Start a collector if there is none."""
        try:
            collector_start.ensure_collector(self._segment)
        except CollectorError as error:
            # No process could be started. The next look tries again.
            self._note(error)
            return
        except OSError as error:
            # No descriptor is free; the next look tries again. A ResourceError says that the segment is gone, which the
            # caller must know.
            if isinstance(error, ResourceError) or not is_own(error):
                raise
            self._note(error)
            return
        self._failing = None

    def failure(self) -> str | None:
        """Return why no collector could be started for `NO_COLLECTOR_SECS`, so that a wait for one would not end.

        None if one runs, or failed to start for a shorter time.
        """
        if self._failing is None or time.monotonic() - self._failing[0] < NO_COLLECTOR_SECS:
            return None
        error = self._failing[1]
        why = error.strerror if isinstance(error, OSError) else error
        return f"for {NO_COLLECTOR_SECS:g} s no collector could be started: {str(why).rstrip('.')}"

    def _note(self, error: CollectorError | OSError) -> None:
        begin = time.monotonic() if self._failing is None else self._failing[0]
        self._failing = begin, error
