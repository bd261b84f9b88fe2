"""Which segments lie in /dev/shm, and which of them are left over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm import leases, segment
from rerun_mp.shm.layout import Geometry, Header, Lock
from rerun_mp.shm.segment import Segment
from rerun_mp.shm.survey import Found, survey


@pytest.fixture
def made() -> Iterator[Segment]:
    path = f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}"
    own = segment.create(path, Geometry(4096, 8, 4), os.urandom(16), runtime_directory="/r", spool_directory="/s")
    assert own is not None
    yield own
    os.unlink(path)


def found(path: str) -> Found | None:
    return next((one for one in survey()[0] if one.path == path), None)


def test_a_segment_with_a_participant_is_not_left_over(made: Segment) -> None:
    assert found(made.path) == Found(made.path, made.nonce, "/r", "/s", is_leftover=False)
    assert made.participants is not None
    made.participants.release()
    assert found(made.path) == Found(made.path, made.nonce, "/r", "/s", is_leftover=True)


@pytest.mark.parametrize("byte", [Lock.STARTER, Lock.GUARD, Lock.WORKER])
def test_a_collector_and_its_starter_keep_a_segment_alive(made: Segment, byte: int) -> None:
    assert made.participants is not None
    made.participants.release()
    holder = made.open()
    assert leases.try_lock(holder, byte)
    assert found(made.path) == Found(made.path, made.nonce, "/r", "/s", is_leftover=False)
    os.close(holder)


def test_a_segment_of_another_version_is_named_and_never_left_over(made: Segment) -> None:
    """Its directories are unknown, so there is nothing that this version could recover."""
    assert made.participants is not None
    made.participants.release()
    made.ring.words[Header.VERSION] += 1
    assert found(made.path) == Found(made.path, made.nonce, "", "", is_leftover=False)
    assert [text for text in survey()[1] if made.path in text and "not a segment of this version" in text]


def test_a_file_that_is_no_segment_is_reported_only() -> None:
    path = Path(f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}")
    path.touch(mode=0o600)
    try:
        assert found(str(path)) is None
        assert [text for text in survey()[1] if str(path) in text]
    finally:
        path.unlink()
