"""Telling interruptions apart: what still runs, whose exception it is, and which one a signal handler has raised."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from types import CodeType, FrameType

import pytest

from rerun_mp.shm import kernel
from rerun_mp.shm.interruptions import is_from_handler, is_own, is_running, suppress_own


def outer(action: Callable[[], bool]) -> bool:
    return action()


def asked(codes: set[CodeType]) -> bool:
    return is_running(codes, lambda _: True)


def test_a_function_further_out_is_running_until_it_has_ended() -> None:
    code = {outer.__code__}
    assert outer(lambda: is_running(code, lambda _: True))
    assert not outer(lambda: is_running(code, lambda frame: "nothing" in frame.f_locals))
    assert not asked(code)


def test_a_function_in_a_greenlet_that_is_switched_away_is_running() -> None:
    greenlets = pytest.importorskip("greenlet")
    main = greenlets.getcurrent()
    other = greenlets.greenlet(lambda: outer(lambda: main.switch(True) is None))
    other.switch()
    code = {outer.__code__}
    assert asked(code)
    other.switch(None)
    assert not asked(code)


def test_an_exception_is_ours_if_our_code_has_raised_it_last() -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 (any will do)
        kernel.advise(0, 1, 12345)
    assert is_own(caught.value)
    with pytest.raises(OSError, match="the program's") as caught, suppress_own(OSError):
        raise OSError("the program's")
    assert not is_own(caught.value)
    with suppress_own(OSError):
        kernel.advise(0, 1, 12345)


class Handler:
    """Handlers of every kind."""

    def method(self, _number: int, _frame: FrameType | None) -> None:
        raise KeyError

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        raise KeyError


def plain(_number: int, _frame: FrameType | None) -> None:
    raise KeyError


@pytest.mark.parametrize("handler", [plain, Handler().method, Handler(), functools.partial(plain)])
def test_an_exception_of_a_signal_handler_is_known(handler: Callable[[int, FrameType | None], None]) -> None:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(KeyError) as caught:
            os.kill(os.getpid(), signal.SIGUSR1)
        assert is_from_handler(caught.value)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not is_from_handler(caught.value), "no handler any more"
    with pytest.raises(KeyError) as caught:
        raise KeyError
    assert not is_from_handler(caught.value)
