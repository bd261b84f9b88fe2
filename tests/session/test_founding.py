"""A session is founded once, and its ring shrinks to the room that there is."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace

import pytest

from rerun_mp.session import founding
from rerun_mp.session.identity import Identity
from rerun_mp.settings import Settings
from rerun_mp.shm import segment

pytestmark = pytest.mark.real_collectors

GIB = 1 << 30


@pytest.fixture
def free_bytes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Set how much is free in /dev/shm, and the limit for files."""
    machine = {"free": GIB, "limit": resource.RLIM_INFINITY}
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=machine["free"] // 4096, f_frsize=4096))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (machine["limit"], machine["limit"]))
    return machine


def test_a_name_without_a_segment_is_no_session() -> None:
    assert founding.join(Identity(os.urandom(32), f"{segment.DIRECTORY}/rmp-none")) is None


def test_with_room_the_settings_decide(free_bytes: dict[str, int]) -> None:
    geometry = founding.geometry_for(Settings(ring_bytes=256 << 20, slot_bytes=1 << 20, producers=100))
    assert (geometry.slot_bytes, geometry.slots, geometry.producers) == (1 << 20, 256, 100)
    assert free_bytes["free"] == GIB


def test_a_ring_takes_at_most_half_of_the_free_memory(free_bytes: dict[str, int]) -> None:
    free_bytes["free"] = 64 << 20
    geometry = founding.geometry_for(Settings(ring_bytes=128 << 20, producers=100_000))
    assert geometry.slot_bytes * geometry.slots == 32 << 20
    assert geometry.slots >= founding.MIN_FULL_SIZE_SLOTS
    assert geometry.producers < 100_000


def test_a_limit_for_files_counts_as_room(free_bytes: dict[str, int]) -> None:
    free_bytes["limit"] = 16 << 20
    geometry = founding.geometry_for(Settings(ring_bytes=128 << 20))
    assert geometry.slot_bytes * geometry.slots == 8 << 20


def test_a_tiny_ring_has_small_slots_and_enough_of_them(free_bytes: dict[str, int]) -> None:
    free_bytes["free"] = 64 << 10
    geometry = founding.geometry_for(Settings())
    assert geometry.slot_bytes == founding.MIN_SLOT_BYTES
    assert geometry.slots == segment.MIN_SLOTS
    assert geometry.producers == founding.MIN_PRODUCERS
