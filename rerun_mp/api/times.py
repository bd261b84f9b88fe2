"""`Timepoint`: the times that one thread has set in one recording. Only that thread uses it, so it needs no lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.encoding.timepoints import TimeKind, TimelineNames

if TYPE_CHECKING:
    from rerun_mp.producer.hot_appends import Append

__all__ = ["LOG_TICK", "LOG_TIME", "Timepoint"]

LOG_TIME = "log_time"
"""The timeline of the wall-clock time of the `log` call."""
LOG_TICK = "log_tick"
"""The timeline of the number of the `log` call."""


class Timepoint:
    """The times that one thread has set in one recording."""

    __slots__ = ("_names", "kinds", "sequences", "tables", "values")

    def __init__(self) -> None:
        self.kinds: dict[str, TimeKind] = {}
        self.sequences: set[str] = set()
        """The timelines whose kind is a sequence."""
        self.values: dict[str, int] = {}
        self._names: dict[tuple[bool, bool], TimelineNames] = {}
        """Cached names for `stamp`, by (with log_time, with log_tick); cleared when a timeline is added or removed."""
        self.tables: dict[object, Append] = {}
        """Append functions of the open tables with these timelines, as in `Lane.tables`; cleared with the names."""

    def set(self, timeline: str, kind: TimeKind, value: int) -> None:
        """Set the time on a timeline. A new kind replaces the old one."""
        if self.kinds.get(timeline) is not kind:
            self.kinds[timeline] = kind
            self.sequences.discard(timeline)
            if kind is TimeKind.SEQUENCE:
                self.sequences.add(timeline)
            self._forget()
        self.values[timeline] = value

    def disable(self, timeline: str) -> None:
        """Forget a timeline, if it is set."""
        if self.kinds.pop(timeline, None) is not None:
            del self.values[timeline]
            self.sequences.discard(timeline)
            self._forget()

    def reset(self) -> None:
        """Forget all timelines."""
        self.kinds.clear()
        self.sequences.clear()
        self.values.clear()
        self._forget()

    def timelines(self) -> tuple[tuple[str, str], ...]:
        """Return (name, kind) of each timeline, sorted by name."""
        if not self.kinds:
            return ()
        return tuple((name, kind.name.lower()) for name, kind in sorted(self.kinds.items()))

    def _forget(self) -> None:
        self._names.clear()
        self.tables.clear()

    def stamp(self, log_time: int | None, log_tick: int | None) -> tuple[TimelineNames, list[int]]:
        """Return the timelines sorted by name and the time on each, including the call's own time and tick.

        As in rerun, those two replace the user's timelines of the same names.
        """
        values = self.values
        if log_time is not None or log_tick is not None:
            values = values.copy()
            if log_time is not None:
                values[LOG_TIME] = log_time
            if log_tick is not None:
                values[LOG_TICK] = log_tick
        stamped = (log_time is not None, log_tick is not None)
        names = self._names.get(stamped)
        if names is None:
            kinds = self.kinds | ({LOG_TIME: TimeKind.TIMESTAMP} if stamped[0] else {})
            kinds |= {LOG_TICK: TimeKind.SEQUENCE} if stamped[1] else {}
            names = self._names[stamped] = tuple(sorted(kinds.items()))
        return names, [values[name] for name, _ in names]
