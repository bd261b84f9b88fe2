"""Semaphores without posix_ipc: the C library's, under the same names and with the same exceptions."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
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


def test_where_posix_ipc_is_installed_it_is_used(own: ModuleType) -> None:
    assert installed.Semaphore is posix_ipc.Semaphore
    assert own.Semaphore is not posix_ipc.Semaphore


def test_both_kinds_wake_each_other(own: ModuleType, name: str) -> None:
    made = own.Semaphore(name, own.O_CREAT, mode=0o600, initial_value=0)
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


def test_its_errors_are_those_of_posix_ipc(own: ModuleType, name: str) -> None:
    with pytest.raises(own.Error, match="No such file"):
        own.Semaphore(name)
    with pytest.raises(own.Error, match="No such file"):
        own.unlink_semaphore(name)
    made = own.Semaphore(name, own.O_CREAT)
    for secs in (0, 0.001):
        with pytest.raises(own.BusyError):
            made.acquire(secs)
    caught: list[Any] = []
    before = signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        with pytest.raises(own.SignalError):
            made.acquire(60.0)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert caught
    made.unlink()
    made.close()
