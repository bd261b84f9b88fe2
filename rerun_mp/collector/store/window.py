"""The window of a file with `Rotation.keep_last`: which complete parts are older than the last seconds of the run.

Age is counted back from the newest row, on a clock that stands still while no collector lives. So a program that hangs
keeps its last seconds. A program keeps them, too, if it was killed with its collector and is recovered hours later. A
jump of the wall clock changes nothing. The window that a killed collector left stands still until a row comes that was
logged since: a recovery removes no part for its age.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from rerun_mp.collector.store.clock import Clock
from rerun_mp.collector.store.journal import Series
from rerun_mp.session.rotation import ClosedPart

__all__ = ["MAX_RUNS", "Window"]

MAX_RUNS = 10
"""Maximum number of earlier runs at one path that keep their windows."""


class Window:
    """The window of one series of parts."""

    def __init__(self, series: Series, clock: Clock) -> None:
        self._series = series
        self._clock = clock
        self._rows = 0
        """Rows of this life at the last `note_rows`."""
        known = list(series.closed.values())
        if series.began is not None:
            known.append(series.began - series.paused_secs)
        if known:
            # The earlier life of the collector ended at an unknown time after that.
            series.paused_secs = clock.boot_secs() - max(known)
        self._newest = self._now()
        """When the newest row was stored."""
        self._is_left = bool(known)
        """Whether an earlier life has left this window, and no row has been logged since."""

    def note_rows(self, rows: int, *, are_new: bool = True) -> None:
        """Note how many rows this life of the collector has stored.

        `are_new`: rows since the last note were logged then. Rows of a recovery were not: they leave the window where
        the killed collector left it, however long the recovery takes.
        """
        if rows != self._rows and are_new:
            self._newest, self._is_left = self._now(), False
        self._rows = rows

    def note_closed(self, number: int) -> None:
        """Note that part `number` is complete. The caller saves the journal."""
        self._series.closed.setdefault(str(number), self._now())

    def beyond(self, parts: Sequence[ClosedPart], keep_last: float, session: str) -> list[ClosedPart]:
        """Return the parts that are older than the last `keep_last` seconds, and those of runs long ago.

        `session` is the name of the present session in the parts.
        """
        closed, oldest = self._series.closed, self._newest - keep_last
        own = [part for part in parts if part.session == session and str(part.number) in closed]
        others = [part for part in parts if part not in own]
        runs = list(dict.fromkeys(part.session for part in others))
        gone = [] if self._is_left else [part for part in own if closed[str(part.number)] < oldest]
        return gone + [part for part in others if part.session in runs[:-MAX_RUNS]]

    def forget(self, parts: Sequence[ClosedPart]) -> None:
        """Forget parts that have been removed."""
        for part in parts:
            self._series.closed.pop(str(part.number), None)

    def _now(self) -> float:
        return self._clock.boot_secs() - self._series.paused_secs
