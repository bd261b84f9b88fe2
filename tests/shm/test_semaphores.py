"""The C library's semaphores, which collectors use, and producers where posix_ipc is not installed."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from rerun_mp.shm import semaphores as installed

posix_ipc = pytest.importorskip("posix_ipc", reason="the semaphores are compared with those of posix_ipc")


@pytest.fixture(scope="module")
def own() -> ModuleType:
    """Execute the module once more, where posix_ipc cannot be imported."""
    spec = importlib.util.find_spec(installed.__name__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "posix_ipc", None)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def name() -> Iterator[str]:
    one = f"/rmp-test-{os.getpid()}"
    yield one
    assert not os.path.exists(f"/dev/shm/sem.{one[1:]}")


def test_producers_ring_with_posix_ipc_where_it_is_installed(own: ModuleType) -> None:
    assert installed.Semaphore is posix_ipc.Semaphore
    assert own.Semaphore is own.LibcSemaphore


def test_both_kinds_wake_each_other(own: ModuleType, name: str) -> None:
    made = own.LibcSemaphore(name, own.O_CREAT, mode=0o600, initial_value=0)
    theirs = posix_ipc.Semaphore(name)
    assert os.stat(f"/dev/shm/sem.{name[1:]}").st_mode & 0o777 == 0o600
    theirs.release()
    made.acquire(0)
    made.release()
    theirs.acquire(0)
    child = os.fork()
    if child == 0:
        own.Semaphore(name).release()
        os._exit(0)
    made.acquire(60.0)
    assert os.waitpid(child, 0)[1] == 0
    made.unlink()
    made.close()
    theirs.close()


def test_series_errors_say_what_happened(own: ModuleType, name: str) -> None:
    with pytest.raises(own.Error, match="No such file"):
        own.Semaphore(name)
    with pytest.raises(FileNotFoundError, match="No such file"):
        own.unlink_semaphore(name)
    made = own.LibcSemaphore(name, own.O_CREAT)
    with pytest.raises(BlockingIOError):
        made.acquire(0)
    with pytest.raises(TimeoutError):
        made.acquire(0.001)
    caught: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # the first signal may come before the wait begins
    try:
        with pytest.raises(InterruptedError):
            made.acquire(60.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    assert caught
    made.unlink()
    made.close()


def test_a_wall_clock_that_is_set_back_prolongs_no_wait(
    own: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait begins while the clock is an hour ahead, as on a machine without a battery clock before it is set."""
    if own._clockwait is None:
        pytest.skip("the C library has no wait in the monotonic clock")
    made = own.LibcSemaphore(name, own.O_CREAT)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 3600 * 10**9)
    ended: list[type[BaseException]] = []

    def wait() -> None:
        try:
            made.acquire(0.01)
        except OSError as error:
            ended.append(type(error))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    waiting.join(60.0)
    made.release()
    assert ended == [TimeoutError]
    made.unlink()
    made.close()
