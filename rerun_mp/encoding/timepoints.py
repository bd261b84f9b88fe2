"""Times as rerun represents them: on a named timeline, a number or nanoseconds.

The conversions equal those of `rerun.time`. This module converts `int`, `float`, `timedelta` and `datetime` by the same
arithmetic, without loading numpy or rerun; rerun's own functions convert any other type.
"""

from __future__ import annotations

import math
import operator
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from rerun_mp.errors import InvalidArgumentError

__all__ = ["TimeKind", "TimelineNames", "checked_timeline_name", "duration_nanos", "sequence_number", "timestamp_nanos"]

MAX_TIME = 2**63 - 1
MIN_TIME = -(2**63)
"""Rerun reserves this number for *static* rows and writes the next larger one instead."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class TimeKind(IntEnum):
    """The meaning of a timeline's numbers."""

    SEQUENCE = 0
    TIMESTAMP = 1
    """Nanoseconds since the Unix epoch."""
    DURATION = 2
    """Nanoseconds."""


TimelineNames = tuple[tuple[str, TimeKind], ...]
"""(name, kind) of timelines, in the order of the names."""


def checked_timeline_name(name: object) -> str:
    """Return `name` if it is a valid timeline name.

    Raises
    ------
    TypeError
        If it is no `str`.
    InvalidArgumentError
        If it is empty, or holds a NUL, which Arrow's C interface cannot carry.
    UnicodeEncodeError
        If it holds a lone surrogate, which UTF-8 cannot express. Rerun raises the same.
    """
    if not isinstance(name, str):
        raise TypeError(f"argument 'timeline': '{type(name).__name__}' object is not an instance of 'str'")
    if not name:
        raise InvalidArgumentError("Invalid `TimelineName`: must not be empty")
    if "\0" in name:
        raise InvalidArgumentError(f"Invalid `TimelineName`: {name!r} holds a NUL character")
    if not name.isascii():
        name.encode()
    return name


def sequence_number(value: object) -> int:
    """Return `value` as a number on a sequence timeline.

    Raises
    ------
    TypeError
        If it is no integer.
    OverflowError
        If it needs more than 64 bits.
    InvalidArgumentError
        If it is not a number (NaN) or infinite.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidArgumentError(f"argument 'sequence': {value} is no integer") from None
        raise TypeError(
            f"argument 'sequence': '{_type_name(value)}' object cannot be interpreted as an integer"
        ) from None
    return _in_range("sequence", number)


def duration_nanos(value: object) -> int:
    """Return `value` (seconds, `timedelta` or `numpy.timedelta64`) in nanoseconds.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError, OverflowError
        If it is NaN, or needs more than 64 bits.
    """
    if isinstance(value, timedelta):
        nanos = round(1e9 * value.total_seconds())
    elif isinstance(value, int):
        nanos = 1_000_000_000 * value
    elif isinstance(value, float):
        nanos = round(1e9 * float(value))
    else:
        from rerun.time import to_nanos

        nanos = int(to_nanos(value))  # type: ignore[arg-type]
    return _in_range("duration", nanos)


def timestamp_nanos(value: object) -> int:
    """Return `value` (seconds since the Unix epoch, `datetime`, `numpy.datetime64` or Arrow timestamp) in nanoseconds.

    A `datetime` without a time zone is UTC, as in rerun.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError, OverflowError
        If it is NaN, needs more than 64 bits, or seems to be in milliseconds.
    """
    if type(value) in (int, float):
        if value > 1e11:  # type: ignore[operator]
            raise ValueError("set_time: Expected seconds since unix epoch, but it looks like this is in milliseconds")
        nanos = round(1e9 * value)  # type: ignore[operator]
    elif type(value) is datetime:
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        nanos = round(1e9 * (aware - _EPOCH).total_seconds())
    else:
        from rerun.time import to_nanos_since_epoch

        nanos = int(to_nanos_since_epoch(value))
    return _in_range("timestamp", nanos)


def _in_range(argument: str, number: int) -> int:
    if not MIN_TIME <= number <= MAX_TIME:
        raise OverflowError(
            f"argument '{argument}': {number} does not fit into 64 bits; give one from -2**63 to 2**63 - 1"
        )
    return max(number, MIN_TIME + 1)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
