"""Causes of death that the kernel tells without an introduction. tests/shm/test_introductions.py has those with one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from rerun_mp.collector.reporting.death_causes import DeathCauses


@pytest.fixture
def child() -> Iterator[int]:
    """Fork a child that waits for a signal."""
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        while True:
            signal.pause()
    yield pid
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def end(pid: int, number: int) -> None:
    """End a child by a signal, and leave it as a zombie."""
    os.kill(pid, number)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGKILL, "SIGKILL"),
        (signal.SIGTERM, None),
        (signal.SIGRTMIN + 3, f"signal {signal.SIGRTMIN + 3}"),
    ],
)
@pytest.mark.parametrize("is_watched", [False, True])
def test_a_process_that_waits_for_its_parent_tells_its_signal(
    number: int, cause: str | None, is_watched: bool, child: int
) -> None:
    """A signal by which pools ask their workers to end is no cause of death."""
    causes = DeathCauses()
    if is_watched:
        causes.watch(1, child)
        assert not causes.has_ended(1)
    end(child, number)
    assert causes.has_ended(1)
    assert causes.cause(1, child) == cause


def test_a_process_that_lives_or_is_gone_has_no_cause_of_death(child: int) -> None:
    causes = DeathCauses()
    assert causes.cause(1, child) is None
    causes.watch(2, 0)
    assert causes.cause(2, 0) is None
