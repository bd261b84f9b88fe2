"""Identifiers: equal in all processes of a session, different between sessions, and row ids that only ascend."""

from __future__ import annotations

import itertools
import time
import uuid

import pytest

from rerun_mp.encoding.ids import (
    BLOCK_ROWS,
    SET_ASIDE_ROWS,
    RowIds,
    SessionName,
    parse_name,
    recording_id,
    segment_name,
    session_key,
)
from tests.shm.steps import interrupt

KEY = session_key(b"authkey")


def test_a_session_key_follows_from_the_authkey_alone() -> None:
    assert session_key(b"authkey") == KEY
    assert session_key(b"another") != KEY


def test_a_name_is_read_back_from_its_text() -> None:
    for name in (SessionName(KEY), SessionName(KEY, b"12345678")):
        assert parse_name(name.text) == name


@pytest.mark.parametrize(
    "text", ["", "xyz", "00" * 31, "00" * 33, "nö", f"{'00' * 32}-", f"{'00' * 32}-12", "-", f"-{'00' * 8}"]
)
def test_a_text_that_is_no_name_is_refused(text: str) -> None:
    assert parse_name(text) is None


def test_visible_names_differ_between_sessions_and_show_no_key() -> None:
    names = [
        segment_name(KEY),
        segment_name(KEY, b"12345678"),
        segment_name(session_key(b"another")),
        recording_id(KEY, "app").replace("-", ""),
    ]
    assert len(set(names)) == 4
    assert not [name for name in names if name.removeprefix("rmp-")[:12] in KEY.hex()]


def test_a_recording_id_is_a_random_looking_uuid_of_session_and_application() -> None:
    made = uuid.UUID(recording_id(KEY, "app"))
    assert made.version == 4
    assert made.variant == uuid.RFC_4122
    assert recording_id(KEY, "app") == str(made)
    assert len({recording_id(KEY, "app"), recording_id(KEY, "other"), recording_id(session_key(b""), "app")}) == 3


def test_row_ids_ascend_even_when_the_clock_steps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = RowIds()
    minted = []
    for now, rows in ((100, 1), (50, 3), (200, 2)):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        minted.append(ids.mint(rows))
    first = ids.first + SET_ASIDE_ROWS
    assert minted == [(100, first), (100, first + 1), (200, first + 4)]
    ids.reach(300)
    assert ids.mint(1) == (300, first + 6)


@pytest.mark.parametrize("rows", [1, BLOCK_ROWS + 1])
def test_no_id_is_minted_twice_when_calls_interrupt_each_other_anywhere(rows: int) -> None:
    """A trace function that logs may run between any two instructions."""
    ids, step = RowIds(), 0
    taken: set[int] = set()

    def mint(number: int) -> None:
        _, first = ids.mint(number)
        mine = set(range(first, first + number))
        assert not mine & taken, f"step {step}"
        taken.update(mine)

    while interrupt(lambda: mint(3), RowIds.mint, step, lambda: mint(rows)):
        step += 1
    assert step > 10


def test_an_exception_in_the_middle_of_a_call_changes_nothing_for_later_ones() -> None:
    def fail() -> None:
        raise KeyError

    ids, step, counters = RowIds(), 0, [0]
    is_over = False
    while not is_over:
        try:
            is_over = not interrupt(lambda: ids.mint(1), RowIds.mint, step, fail)
        except KeyError:
            pass
        counters.append(ids.mint(1)[1])
        step += 1
    assert counters == sorted(set(counters))
    assert counters[1] >= ids.first + SET_ASIDE_ROWS, "the range set aside is for calls that interrupt others"


def test_no_two_producers_begin_near_each_other() -> None:
    firsts = sorted(RowIds().first for _ in range(100))
    assert all(b - a > 1 << 30 for a, b in itertools.pairwise(firsts))
    assert firsts[-1] < 1 << 62
