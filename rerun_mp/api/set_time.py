"""`set_time` and its companions: the times of a thread's rows.

Each thread has its own times in each recording; a time holds until it is set again. In a forked child, the first thread
keeps the times of the forking thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api import lanes
from rerun_mp.api.active import active_state, is_foreign, leaves_foreign_to_rerun
from rerun_mp.api.lanes import active_lanes, leave_lanes
from rerun_mp.encoding.timepoints import (
    TimeKind,
    checked_timeline_name,
    duration_nanos,
    sequence_number,
    timestamp_nanos,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    import numpy as np
    import pyarrow as pa
    from rerun import RecordingStream

__all__ = [
    "disable_timeline",
    "reset_time",
    "set_log_tick_enabled",
    "set_log_time_enabled",
    "set_nanos",
    "set_time",
]


def set_time(
    timeline: str,
    *,
    recording: RecordingStream | None = None,
    sequence: int | None = None,
    duration: float | timedelta | np.timedelta64 | None = None,
    timestamp: float | datetime | np.datetime64 | pa.TimestampScalar | None = None,
) -> None:
    """Set the time of this thread's next rows on one timeline.

    Give exactly one of `sequence`, `duration` and `timestamp`. A timeline should keep its kind.

    Parameters
    ----------
    timeline
        Name of the timeline.
    recording
        By default the active one. Without any, the call does nothing.
    sequence
        An integer, such as a frame number, from -2**63 to 2**63 - 1.
    duration
        Seconds, a `datetime.timedelta` or a `numpy.timedelta64`.
    timestamp
        Seconds since the Unix epoch, a `datetime.datetime` (UTC if it has no time zone), a `numpy.datetime64` or a
        `pyarrow.TimestampScalar`.

    Raises
    ------
    ValueError
        If not exactly one of them is given, the name is empty, or a value is NaN.
    OverflowError
        If a value is infinite or too large.
    TypeError
        If a value has another type.

    Notes
    -----
    As in rerun, a wrong call raises even if strict mode is off. The time then stays as it was.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.set_time("frame", sequence=7)
    >>> rr.set_time("elapsed", duration=0.25)
    """
    lane = active_lanes.lane
    if (
        type(sequence) is int
        and lane.version == lanes.version
        and timeline in lane.sequences
        and recording is None
        and duration is None
        and timestamp is None
        # Literals are constants of the code; names would cost a lookup, and the minus a negation, at each call.
        and -0x7FFF_FFFF_FFFF_FFFF <= sequence <= 0x7FFF_FFFF_FFFF_FFFF
    ):
        # The common call of a loop: only the number is new.
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
    """Set the time on a timeline, in nanoseconds since the Unix epoch or as a duration in nanoseconds."""
    state = active_state(recording)
    if state is not None:
        kind = TimeKind.TIMESTAMP if is_timestamp else TimeKind.DURATION
        state.times.set(checked_timeline_name(timeline), kind, sequence_number(nanos))


@leaves_foreign_to_rerun
def disable_timeline(timeline: str, recording: RecordingStream | None = None) -> None:
    """Stop adding the time of one timeline to this thread's rows."""
    name = checked_timeline_name(timeline)
    state = active_state(recording)
    if state is not None:
        state.times.disable(name)


@leaves_foreign_to_rerun
def reset_time(recording: RecordingStream | None = None) -> None:
    """Stop adding this thread's times to its rows."""
    state = active_state(recording)
    if state is not None:
        state.times.reset()


@leaves_foreign_to_rerun
def set_log_tick_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    """Choose whether this process's rows carry `log_tick`, the number of its `log` calls in the recording.

    Off by default; the environment variable RERUN_LOG_TICK changes the default.
    """
    _check_switch(enabled)
    state = active_state(recording)
    if state is not None:
        state.has_log_tick = enabled
        leave_lanes()


@leaves_foreign_to_rerun
def set_log_time_enabled(enabled: bool, recording: RecordingStream | None = None) -> None:
    """Choose whether this process's rows carry `log_time`, the wall-clock time of the `log` call.

    On by default; the environment variable RERUN_LOG_TIME changes the default.
    """
    _check_switch(enabled)
    state = active_state(recording)
    if state is not None:
        state.has_log_time = enabled
        leave_lanes()


def _check_switch(enabled: object) -> None:
    if not isinstance(enabled, bool):
        raise TypeError(f"argument 'enabled': '{type(enabled).__name__}' object is not an instance of 'bool'")
