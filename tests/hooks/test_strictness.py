"""A wrong call raises if strict, else warns at the user's line; one state with rerun, whichever is loaded first."""

from __future__ import annotations

import linecache
import threading
import warnings
from collections.abc import Iterator

import pytest
import rerun as theirs
from rerun.error_utils import RerunWarning, catch_and_log_exceptions

import rerun_mp as rr
from rerun_mp.errors import RingFullError
from rerun_mp.hooks.strictness import warns_unless_strict


@pytest.fixture(autouse=True)
def _mode_as_before() -> Iterator[None]:
    before = rr.strict_mode()
    yield
    rr.set_strict_mode(before)


@warns_unless_strict
def divide(dividend: float, divisor: float, *, strict: bool | None = None) -> float:
    return dividend / divisor


@warns_unless_strict
def divide_twice(divisor: float) -> tuple[float | None, float | None]:
    return divide(1, divisor), divide(2, divisor)


def test_a_wrong_call_raises_in_strict_mode() -> None:
    rr.set_strict_mode(True)
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_otherwise_a_wrong_call_warns_with_its_name_at_the_users_line() -> None:
    with pytest.warns(RerunWarning, match=r"divide: ZeroDivisionError\(.*\)") as caught:
        assert divide(1, 0) is None
    assert caught[0].filename == __file__
    assert "assert divide(1, 0) is None" in linecache.getline(__file__, caught[0].lineno)


@pytest.mark.parametrize("mode", [False, True])
def test_a_calls_own_strictness_wins_and_ends_with_the_call(mode: bool) -> None:
    rr.set_strict_mode(mode)
    with pytest.raises(ZeroDivisionError):
        divide(1, 0, strict=True)
    with pytest.warns(RerunWarning):
        divide(1, 0, strict=False)
    assert rr.strict_mode() is mode


def test_a_calls_own_strictness_is_seen_by_rerun_inside_of_it() -> None:
    @warns_unless_strict
    def look(*, strict: bool) -> bool:
        return theirs.strict_mode()

    assert look(strict=True) is True
    assert look(strict=False) is False


def test_nested_wrong_calls_warn_once_each_when_the_outermost_returns() -> None:
    with pytest.warns(RerunWarning) as caught:
        assert divide_twice(0) == (None, None)
    assert len(caught) == 2


def test_a_warning_of_rerun_inside_a_call_of_ours_points_to_the_users_line() -> None:
    @warns_unless_strict
    def construct() -> None:
        with catch_and_log_exceptions("theirs"):
            raise ValueError("inner")

    with pytest.warns(RerunWarning, match="theirs: ValueError") as caught:
        construct()
    assert caught[0].filename == __file__
    assert "construct()" in linecache.getline(__file__, caught[0].lineno)


def test_a_full_ring_is_no_wrong_call() -> None:
    @warns_unless_strict
    def full() -> None:
        raise RingFullError("no space")

    with pytest.raises(RingFullError):
        full()


def test_warnings_made_errors_leave_the_context_clean() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RerunWarning):
            divide(1, 0, strict=False)
    with pytest.warns(RerunWarning) as caught:
        divide(1, 0)
    assert len(caught) == 1


def test_rerun_and_we_share_one_mode() -> None:
    rr.set_strict_mode(True)
    assert theirs.strict_mode() is True
    theirs.set_strict_mode(False)
    assert rr.strict_mode() is False


def test_another_thread_does_not_see_a_calls_own_strictness() -> None:
    seen = []

    @warns_unless_strict
    def look(*, strict: bool) -> None:
        thread = threading.Thread(target=lambda: seen.append(rr.strict_mode()))
        thread.start()
        thread.join()

    look(strict=True)
    assert seen == [False]
