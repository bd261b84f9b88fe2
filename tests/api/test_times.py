"""`Timepoint`: the times of one thread in one recording, and the names with which a row carries them."""

from __future__ import annotations

from rerun_mp.api.times import Timepoint
from rerun_mp.encoding.timepoints import TimeKind


def test_timelines_come_in_the_order_of_their_names_with_the_calls_own_time_and_tick() -> None:
    point = Timepoint()
    point.set("z", TimeKind.SEQUENCE, 1)
    point.set("a", TimeKind.DURATION, 2)
    assert point.stamp(5, 6) == (
        (
            ("a", TimeKind.DURATION),
            ("log_tick", TimeKind.SEQUENCE),
            ("log_time", TimeKind.TIMESTAMP),
            ("z", TimeKind.SEQUENCE),
        ),
        [2, 6, 5, 1],
    )
    assert point.stamp(None, None) == ((("a", TimeKind.DURATION), ("z", TimeKind.SEQUENCE)), [2, 1])


def test_the_calls_own_time_wins_over_a_timeline_of_its_name_and_is_not_kept() -> None:
    point = Timepoint()
    point.set("log_time", TimeKind.SEQUENCE, 1)
    assert point.stamp(7, None) == ((("log_time", TimeKind.TIMESTAMP),), [7])
    assert point.stamp(None, None) == ((("log_time", TimeKind.SEQUENCE),), [1])


def test_a_timeline_that_changes_its_kind_is_replaced() -> None:
    point = Timepoint()
    point.set("t", TimeKind.SEQUENCE, 1)
    point.stamp(None, None)
    point.set("t", TimeKind.DURATION, 2)
    assert point.stamp(None, None) == ((("t", TimeKind.DURATION),), [2])
