"""Segments: created whole, published once, joined only while they live."""

from __future__ import annotations

import os
import threading
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from rerun_mp.errors import PrivacyError, SharedMemoryError
from rerun_mp.shm import leases, segment
from rerun_mp.shm.layout import Geometry, Header, Lock, SlotState, pack_owner
from rerun_mp.shm.ring import Ring
from rerun_mp.shm.segment import ClaimLocks, Segment
from rerun_mp.shm.transient import close_in_children, no_forks
from rerun_mp.shm.writer import SlotWriter
from tests.shm.bench_ring import claim_one

GEOMETRY = Geometry(slot_bytes=65536, slots=16, producers=64)


@pytest.fixture
def path() -> str:
    """Return a path that no other test uses."""
    return f"/dev/shm/rmp-test-{os.getpid()}-{os.urandom(4).hex()}"


def _create(path: str, geometry: Geometry = GEOMETRY) -> Segment | None:
    return segment.create(path, geometry, os.urandom(16), runtime_directory="/r", spool_directory="/s")


def test_attach_shows_what_the_creator_made(path: str) -> None:
    """Geometry, nonce and directories come from the segment itself."""
    made = _create(path)
    assert made is not None
    try:
        joined = segment.attach(path)
        assert joined is not None
        assert joined.nonce == made.nonce
        assert joined.ring.geometry == GEOMETRY
        assert (joined.runtime_directory, joined.spool_directory) == ("/r", "/s")
        made.ring.words[Header.FREE_SLOTS] = 5
        assert joined.ring.words[Header.FREE_SLOTS] == 5
    finally:
        os.unlink(path)


def test_one_of_many_creators_wins(path: str) -> None:
    """Hazard 11: eight threads create at once; one segment is published, whole, and the others attach to it."""
    barrier = threading.Barrier(8)
    nonces: list[bytes] = []

    def found() -> None:
        barrier.wait()
        made = _create(path) or segment.attach(path)
        assert made is not None
        nonces.append(made.nonce)

    threads = [threading.Thread(target=found) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.unlink(path)
    assert len(nonces) == 8
    assert len(set(nonces)) == 1


def test_an_ending_session_cannot_be_joined(path: str) -> None:
    """A process that holds the participants lock exclusively is alone in the session, before and after the rename."""
    made = _create(path)
    assert made is not None
    assert made.participants is not None
    made.participants.release()
    exclusive = os.open(path, os.O_RDWR)
    assert leases.try_lock(exclusive, Lock.PARTICIPANTS)
    assert segment.attach(path) is None
    os.rename(path, path + ".end")
    assert segment.attach(path) is None
    newer = _create(path)
    assert newer is not None, "a new process founds a new session without waiting"
    os.close(exclusive)
    os.unlink(path)
    os.unlink(path + ".end")


def test_a_session_that_ends_during_attach_cannot_be_joined(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard 11: the session ends between the open and the lock, so the opened file belongs to no session."""
    made = _create(path)
    assert made is not None
    assert made.participants is not None
    open_checked = segment.open_checked

    def open_and_end(path: str) -> int:
        descriptor = open_checked(path)
        os.unlink(path)
        return descriptor

    made.participants.release()
    monkeypatch.setattr(segment, "open_checked", open_and_end)
    assert segment.attach(path) is None
    monkeypatch.undo()
    newer = _create(path)
    try:
        assert newer is not None
        joined = segment.attach(path)
        assert joined is not None
        assert joined.nonce == newer.nonce
    finally:
        os.unlink(path)


def test_a_half_made_segment_is_invisible(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazard 11: other processes find nothing until it is whole, and a creator that dies leaves nothing."""
    seen: list[bool] = []
    write = Ring.format

    def look_and_write(ring: Ring, nonce: bytes, **settings: Any) -> None:
        seen.append(os.path.exists(path))
        write(ring, nonce, **settings)
        seen.append(os.path.exists(path))

    monkeypatch.setattr(Ring, "format", look_and_write)
    try:
        assert _create(path) is not None
    finally:
        Path(path).unlink(missing_ok=True)
    assert seen == [False, False], "a segment that is half made was there to be joined"

    monkeypatch.setattr(Ring, "format", lambda *_, **__: os._exit(7))
    child = os.fork()
    if child == 0:
        _create(path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert not os.path.exists(path)


def test_a_participant_is_seen_until_it_releases(path: str) -> None:
    """The mapping of the data does not keep the lease: release ends it, although the memory stays mapped."""
    made = _create(path)
    assert made is not None
    assert made.participants is not None
    probe = made.open()
    assert leases.is_held(probe, Lock.PARTICIPANTS)
    made.participants.release()
    assert not leases.is_held(probe, Lock.PARTICIPANTS)
    os.close(probe)
    os.unlink(path)


def test_a_file_that_others_own_or_may_open_is_refused(path: str) -> None:
    """Hazard 25: a file with an open mode, a file in another format and a link at the session's name are not used."""
    Path(path).write_bytes(b"x" * 8192)
    Path(path).chmod(0o666)
    with pytest.raises(PrivacyError, match="not ours"):
        segment.attach(path)
    Path(path).chmod(0o600)
    with pytest.raises(SharedMemoryError, match="not a segment of this version"):
        segment.attach(path)
    os.unlink(path)
    os.symlink("/etc/passwd", path)
    with pytest.raises(OSError, match="symbolic links"):
        segment.attach(path)
    os.unlink(path)


def test_a_removed_segment_is_named(path: str) -> None:
    """A program cleans /dev/shm: the next claim says so, and uses no other file of that name."""
    made = _create(path)
    assert made is not None
    os.unlink(path)
    with pytest.raises(SharedMemoryError, match="removed"):
        made.open()
    other = _create(path)
    assert other is not None
    with pytest.raises(SharedMemoryError, match="another segment"):
        made.open()
    os.unlink(path)


def test_claims_of_two_processes_never_meet(path: str) -> None:
    """Two processes claim and free as fast as they can. They never own one slot at the same time."""
    made = _create(path, Geometry(4096, 4, 8))
    assert made is not None
    rounds = 3000
    children = []
    for producer in (1, 2):
        child = os.fork()
        if child == 0:
            os._exit(_claim_often(made, producer, rounds))
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    os.unlink(path)
    assert codes == [0, 0]


def _claim_often(made: Segment, producer: int, rounds: int) -> int:
    writer = SlotWriter(made.ring, pack_owner(producer, 1), memoryview(b"\x01"), 0)
    mine = writer.owner | SlotState.OPEN
    for number in range(rounds):
        with no_forks(), FileIO(made.open(), "r+") as file:
            locks = ClaimLocks(made, close_in_children(file))
            slot = claim_one(writer, 1, number % 4, locks.lock, locks.reserve)
        if slot is None:
            continue
        writer.commit(slot, number + 1)
        if made.ring.states[slot] != mine or made.ring.words[made.ring.count_word(slot)] != number + 1:
            return 1
        made.ring.free(slot)
    return 0


def test_a_claim_reserves_no_pages_that_the_founder_has_reserved(path: str) -> None:
    """The founder has found memory for the first slots; a claim of a later one asks the system."""
    made = _create(path)
    assert made is not None
    try:
        reserved = os.stat(path).st_blocks * 512
        assert reserved >= made.ring.geometry.slot_offset(4)
        closed = ClaimLocks(made, -1)
        assert [closed.reserve(slot) for slot in range(6)] == [True] * 4 + [False] * 2
    finally:
        os.unlink(path)
