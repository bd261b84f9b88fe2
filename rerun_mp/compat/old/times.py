"""Times and columns of times, as rerun-sdk had them until 0.23."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api import set_time as times_of_rows
from rerun_mp.compat.old.warning import warn_of_old_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rerun import RecordingStream, TimeColumn

__all__ = [
    "set_time_nanos",
    "set_time_seconds",
    "set_time_sequence",
    "time_nanos_column",
    "time_seconds_column",
    "time_sequence_column",
]


def set_time_sequence(timeline: str, sequence: int, recording: RecordingStream | None = None) -> None:
    """Set the time on a timeline of sequence numbers. In rerun-sdk until 0.23."""
    warn_of_old_name("set_time_sequence()", "set_time(timeline, sequence=...)")
    times_of_rows.set_time(timeline, sequence=sequence, recording=recording)


def set_time_seconds(timeline: str, seconds: float, recording: RecordingStream | None = None) -> None:
    """Set the time on a timeline in seconds since the Unix epoch. In rerun-sdk until 0.23."""
    warn_of_old_name(
        "set_time_seconds()", "set_time(timeline, timestamp=seconds) or set_time(timeline, duration=seconds)"
    )
    times_of_rows.set_nanos(timeline, int(seconds * 1e9), is_timestamp=True, recording=recording)


def set_time_nanos(timeline: str, nanos: int, recording: RecordingStream | None = None) -> None:
    """Set the time on a timeline in nanoseconds since the Unix epoch. In rerun-sdk until 0.23."""
    warn_of_old_name(
        "set_time_nanos()", "set_time(timeline, timestamp=1e-9 * nanos) or set_time(timeline, duration=1e-9 * nanos)"
    )
    times_of_rows.set_nanos(timeline, int(nanos), is_timestamp=True, recording=recording)


def time_sequence_column(timeline: str, times: Iterable[int]) -> TimeColumn:
    """Return a column of sequence numbers. In rerun-sdk until 0.23, as `TimeSequenceColumn`."""
    from rerun import TimeColumn

    warn_of_old_name("TimeSequenceColumn", "TimeColumn(timeline, sequence=...)")
    return TimeColumn(timeline, sequence=times)


def time_seconds_column(timeline: str, times: Iterable[float]) -> TimeColumn:
    """Return a column of seconds since the Unix epoch. In rerun-sdk until 0.23, as `TimeSecondsColumn`."""
    from rerun import TimeColumn

    warn_of_old_name("TimeSecondsColumn", "TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)")
    return TimeColumn(timeline, timestamp=times)


def time_nanos_column(timeline: str, times: Iterable[int]) -> TimeColumn:
    """Return a column of nanoseconds since the Unix epoch. In rerun-sdk until 0.23, as `TimeNanosColumn`."""
    import numpy as np
    from rerun import TimeColumn

    warn_of_old_name("TimeNanosColumn", "TimeColumn(timeline, timestamp=...) or TimeColumn(timeline, duration=...)")
    return TimeColumn(timeline, timestamp=np.asarray(list(times), dtype="datetime64[ns]"))
