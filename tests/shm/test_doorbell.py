"""The doorbell on a real semaphore: it wakes the collector, and uses no semaphore of another user."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm import doorbell
from rerun_mp.shm.doorbell import Bell, Ringer


@pytest.fixture
def nonce() -> Iterator[bytes]:
    own = os.urandom(16)
    yield own
    doorbell.remove(own)


def file_of(nonce: bytes) -> Path:
    return Path("/dev/shm", "sem." + doorbell.name_of(nonce)[1:])


def test_a_ring_wakes_the_collector_of_another_process(nonce: bytes) -> None:
    bell = Bell(nonce)
    child = os.fork()
    if child == 0:
        Ringer(nonce).ring()
        os._exit(0)
    assert bell.wait(60.0)
    assert os.waitpid(child, 0)[1] == 0
    bell.remove()
    assert not file_of(nonce).exists()


def test_rings_before_the_sleep_count_as_one(nonce: bytes) -> None:
    bell, ringer = Bell(nonce), Ringer(nonce)
    for _ in range(3):
        ringer.ring()
    assert bell.wait(60.0)
    assert not bell.wait(0.0)
    ringer.ring()
    bell.drain()
    assert not bell.wait(0.0)
    bell.remove()


def test_without_a_collector_a_ring_does_nothing(nonce: bytes) -> None:
    ringer = Ringer(nonce)
    ringer.ring()
    assert not file_of(nonce).exists()
    bell = Bell(nonce)
    ringer.ring()
    assert bell.wait(60.0), "a ringer that found no semaphore looks again"
    bell.remove()


def test_a_semaphore_that_others_may_open_is_not_used(nonce: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    Bell(nonce)
    file_of(nonce).chmod(0o666)
    ringer = Ringer(nonce)
    ringer.ring()
    assert ringer._semaphore is None
    deaf = Bell(nonce)
    begin = time.monotonic()
    assert not deaf.wait(60.0)
    assert not deaf.wait(60.0)
    assert time.monotonic() - begin < 60.0, "it sleeps a moment at a time"
    deaf.remove()
    assert file_of(nonce).exists(), "another's semaphore is not removed"
    assert capfd.readouterr().err.count("is not ours and is not used") == 1
