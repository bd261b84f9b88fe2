"""The times of rows: per recording and thread, set once and kept until they are set again.

A time belongs to one thread; no lock is needed. A forked child's forking thread keeps its times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api import active
from rerun_mp.api.active import active_state, is_foreign, lanes, leave_lanes, leaves_foreign_to_rerun
from rerun_mp.encoding.timepoints import (
    TimeKind,
    TimelineNames,
    checked_timeline_name,
    duration_nanos,
    sequence_number,
    timestamp_nanos,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import numpy as np
    import pyarrow as pa

    from rerun_mp.api.recording import RecordingStream
    from rerun_mp.producer.hot_appends import Append

__all__ = [
    "Timepoint",
    "disable_timeline",
    "reset_time",
    "set_log_tick_enabled",
    "set_log_time_enabled",
    "set_nanos",
    "set_time",
]

LOG_TIME = "log_time"
LOG_TICK = "log_tick"


class Timepoint:
    """The times that one thread has set in one recording."""

    __slots__ = ("_names", "kinds", "sequences", "tables", "values")

    def __init__(self) -> None:
        self.kinds: dict[str, TimeKind] = {}
        self.sequences: set[str] = set()
        """The timelines whose kind is a sequence."""
        self.values: dict[str, int] = {}
        self._names: dict[tuple[bool, bool], TimelineNames] = {}
        """What `stamp` returns, by whether it stamps the time and the tick; forgotten when a timeline comes or goes."""
        self.tables: dict[object, Append] = {}
        """What appends to the open tables with these timelines, as in `Lane.tables`; forgotten with the names."""

    def set(self, timeline: str, kind: TimeKind, value: int) -> None:
        """Set the time on a timeline. A timeline that changes its kind is replaced."""
        if self.kinds.get(timeline) is not kind:
            self.kinds[timeline] = kind
            self.sequences.discard(timeline)
            if kind is TimeKind.SEQUENCE:
                self.sequences.add(timeline)
            self._forget()
        self.values[timeline] = value

    def disable(self, timeline: str) -> None:
        """Forget a timeline; one that is not set is forgotten already."""
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
        """Return (name, kind) of what the thread has set, in the order of the names."""
        return tuple((name, kind.name.lower()) for name, kind in sorted(self.kinds.items()))

    def _forget(self) -> None:
        self._names.clear()
        self.tables.clear()

    def stamp(self, log_time: int | None, log_tick: int | None) -> tuple[TimelineNames, list[int]]:
        """Return the timelines in the order of their names, and the time on each, with the call's own time and tick.

        Those two win over timelines of the same name, as in rerun.
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


def set_time(
    timeline: str,
    *,
    recording: RecordingStream | None = None,
    sequence: int | None = None,
    duration: float | timedelta | np.timedelta64 | None = None,
    timestamp: float | datetime | np.datetime64 | pa.TimestampScalar | None = None,
) -> None:
    """Set the time of what this thread logs from now on, on one timeline.

    Exactly one of `sequence`, `duration` and `timestamp` is given. A timeline should keep its kind.

    Parameters
    ----------
    timeline
        Name of the timeline.
    recording
        By default the active one; without any, nothing is set.
    sequence
        A number, such as a frame's; from -2**63 to 2**63 - 1.
    duration
        Seconds, `datetime.timedelta` or `numpy.timedelta64`.
    timestamp
        Seconds since the Unix epoch, `datetime.datetime` (UTC if it says nothing else), `numpy.datetime64` or a
        `pyarrow.TimestampScalar`.

    Raises
    ------
    ValueError
        If not exactly one of them is given, the name is empty, or a value is NaN.
    OverflowError
        If a value is infinite or too large. In either case the time stays what it was; in strict mode or not, as in
        rerun.
    TypeError
        If a value is of another type.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.set_time("frame", sequence=7)
    >>> rr.set_time("elapsed", duration=0.25)
    """
    lane = lanes.lane
    if (
        type(sequence) is int
        and lane.version == active.version
        and timeline in lane.sequences
        and recording is None
        and duration is None
        and timestamp is None
        # As literals, because names would be looked up, and the first of them negated, at each call.
        and -0x7FFF_FFFF_FFFF_FFFF <= sequence <= 0x7FFF_FFFF_FFFF_FFFF
    ):
        # The common call of a loop: nothing is new but the number.
        lane.times[timeline] = sequence
        return
    if (sequence is not None) + (duration is not None) + (timestamp is not None) != 1:
        raise ValueError(
            f"set_time: Exactly one of `sequence`, `duration`, and `timestamp` must be set (timeline='{timeline}')"
        )
    name = checked_timeline_name(timeline)
    if recording is not None and is_foreign(recording):
        import rerun

        rerun.set_time(timeline, recording=recording, sequence=sequence, duration=duration, timestamp=timestamp)  # type: ignore[call-overload]
        return
    if sequence is not None:
        kind, value = TimeKind.SEQUENCE, sequence_number(sequence)
    elif duration is not None:
        kind, value = TimeKind.DURATION, duration_nanos(duration)
    else:
        kind, value = TimeKind.TIMESTAMP, timestamp_nanos(timestamp)
    state = active_state(recording)
    if state is not None:
        state.times.set(name, kind, value)


def set_nanos(timeline: str, nanos: int, *, is_timestamp: bool, recording: RecordingStream | None) -> None:
    """Set the time on a timeline in nanoseconds, since the epoch or as a duration."""
    state = active_state(recording)
    if state is not None:
        kind = TimeKind.TIMESTAMP if is_timestamp else TimeKind.DURATION
        state.times.set(checked_timeline_name(timeline), kind, sequence_number(nanos))


@leaves_foreign_to_rerun
def disable_timeline(timeline: str, recording: RecordingStream | None = None) -> None:
    """Stop stamping what this thread logs with the time of one timeline."""
    name = checked_timeline_name(timeline)
    state = active_state(recording)
    if state is not None:
        state.times.disable(name)


@leaves_foreign_to_rerun
def reset_time(recording: RecordingStream | None = None) -> None:
    """Stop stamping what this thread logs with the times that it has set."""
    state = active_state(recording)
    if state is not None:
        state.times.reset()


@leaves_foreign_to_rerun
def set_log_tick_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    """Choose whether this process's rows carry `log_tick`, the number of its `log` calls in the recording.

    Off by default; the environment variable RERUN_LOG_TICK says otherwise.
    """
    _check_switch(enabled)
    state = active_state(recording)
    if state is not None:
        state.has_log_tick = enabled
        leave_lanes()


@leaves_foreign_to_rerun
def set_log_time_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    """Choose whether this process's rows carry `log_time`, the wall-clock time of the `log` call.

    On by default; the environment variable RERUN_LOG_TIME says otherwise.
    """
    _check_switch(enabled)
    state = active_state(recording)
    if state is not None:
        state.has_log_time = enabled
        leave_lanes()


def _check_switch(enabled: object) -> None:
    if not isinstance(enabled, bool):
        raise TypeError(f"argument 'enabled': '{type(enabled).__name__}' object is not an instance of 'bool'")
