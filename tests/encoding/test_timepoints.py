"""Times convert to the same nanoseconds as in rerun, and values that rerun refuses are refused."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerun.time import to_nanos, to_nanos_since_epoch

from rerun_mp.encoding.timepoints import checked_timeline_name, duration_nanos, sequence_number, timestamp_nanos

DATETIMES = st.datetimes(
    datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=5))])
)


@given(st.integers(-(10**9), 10**9) | st.floats(-9e9, 9e9) | st.timedeltas(timedelta(days=-9999), timedelta(days=9999)))
def test_durations_convert_as_in_rerun(value: float | timedelta) -> None:
    assert duration_nanos(value) == to_nanos(value)


@given(st.integers(-(10**9), 9 * 10**9) | st.floats(-9e9, 9e9) | DATETIMES)
def test_timestamps_convert_as_in_rerun(value: float | datetime) -> None:
    assert timestamp_nanos(value) == to_nanos_since_epoch(value)


@pytest.mark.parametrize(
    ("convert", "value", "nanos"),
    [
        (duration_nanos, np.timedelta64(5, "ms"), 5_000_000),
        (duration_nanos, np.float32(0.5), 500_000_000),
        (duration_nanos, np.int64(3), 3_000_000_000),
        (duration_nanos, True, 1_000_000_000),
        (timestamp_nanos, np.datetime64("2024-01-01"), 1_704_067_200_000_000_000),
        (timestamp_nanos, pa.scalar(5, pa.timestamp("ns")), 5),
        (timestamp_nanos, np.float64(1.5), 1_500_000_000),
        (sequence_number, np.uint8(3), 3),
        (sequence_number, True, 1),
        (sequence_number, 2**63 - 1, 2**63 - 1),
        (sequence_number, -(2**63), -(2**63) + 1),
        (timestamp_nanos, np.datetime64("NaT", "ns"), -(2**63) + 1),
    ],
)
def test_every_accepted_type_converts(convert: object, value: object, nanos: int) -> None:
    assert convert(value) == nanos  # type: ignore[operator]


@pytest.mark.parametrize("value", [1.5, "3", None, np.float64(2)])
def test_a_sequence_takes_integers_only(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        sequence_number(value)


@pytest.mark.parametrize("convert", [duration_nanos, timestamp_nanos])
@pytest.mark.parametrize("value", ["x", date(2024, 1, 1), None])
def test_a_value_that_is_no_time_is_refused_with_its_type(convert: object, value: object) -> None:
    with pytest.raises(TypeError, match=r"set_time: .* must be"):
        convert(value)  # type: ignore[operator]


@pytest.mark.parametrize("convert", [sequence_number, duration_nanos, timestamp_nanos])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_as_values(convert: object, value: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        convert(value)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("convert", "value"),
    [(sequence_number, 2**63), (sequence_number, -(2**70)), (duration_nanos, 10**10), (timestamp_nanos, 1e11)],
)
def test_a_value_of_more_than_64_bits_is_refused(convert: object, value: float) -> None:
    with pytest.raises(OverflowError, match="64 bits"):
        convert(value)  # type: ignore[operator]


def test_milliseconds_instead_of_seconds_are_refused() -> None:
    with pytest.raises(ValueError, match="milliseconds"):
        timestamp_nanos(1_700_000_000_000)


@pytest.mark.parametrize("name", ["frame", "größe", "😀", "a b/c"])
def test_any_text_that_utf8_can_express_is_a_timeline_name(name: str) -> None:
    assert checked_timeline_name(name) == name


def test_a_lone_surrogate_in_a_timeline_name_raises_what_rerun_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        checked_timeline_name("x\ud800")
