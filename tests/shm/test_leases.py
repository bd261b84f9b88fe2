"""Leases, with real processes, kills and forks."""

from __future__ import annotations

import ctypes
import os
import signal
import tempfile
from collections.abc import Iterator

import pytest

from rerun_mp.shm import leases
from rerun_mp.shm.leases import ForkGuard, Lease

BYTE = 1 << 40


@pytest.fixture
def path() -> Iterator[str]:
    """Make a file of one page in /dev/shm, as a segment is."""
    descriptor, name = tempfile.mkstemp(prefix="rmp-test-", dir="/dev/shm")
    os.ftruncate(descriptor, 4096)
    os.close(descriptor)
    yield name
    os.unlink(name)


def _take(path: str, *, inherited: bool, shared: bool = False) -> Lease:
    descriptor = os.open(path, os.O_RDWR)
    assert leases.try_lock(descriptor, BYTE, shared=shared)
    lease = Lease.keep(descriptor, inherited=inherited)
    os.close(descriptor)
    return lease


def _is_held(path: str) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        return leases.is_held(descriptor, BYTE)
    finally:
        os.close(descriptor)


def test_a_lease_survives_closing_every_descriptor(path: str) -> None:
    """Hazard 1: daemonising code closes all descriptors; the process lives, and so does its lease."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        lease = _take(path, inherited=False)
        os.closerange(3, writer)
        os.closerange(writer + 1, 4096)
        os.write(writer, b"held")
        signal.pause()
        lease.release()
        os._exit(0)
    os.close(writer)
    assert os.read(reader, 4) == b"held"
    os.close(reader)
    assert _is_held(path)
    os.kill(child, signal.SIGKILL)
    # The child is a zombie until it is waited for. A zombie holds nothing.
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not _is_held(path)
    os.waitpid(child, 0)


def test_release_ends_the_lease_and_a_second_one_does_nothing(path: str) -> None:
    """A release ends the lease; a second one does nothing."""
    lease = _take(path, inherited=False)
    assert _is_held(path)
    lease.release()
    lease.release()
    assert not _is_held(path)


@pytest.mark.parametrize("inherited", [True, False])
def test_a_fork_inherits_only_what_it_should(path: str, inherited: bool) -> None:
    """The participants' lease goes on in a forked child without a gap; a producer's does not."""
    go, done = os.pipe(), os.pipe()
    lease = _take(path, inherited=inherited, shared=inherited)
    child = os.fork()
    if child == 0:
        os.read(go[0], 1)
        os.write(done[1], b"1" if _is_held(path) else b"0")
        os._exit(0)
    lease.release()
    os.write(go[1], b"x")
    assert os.read(done[0], 1) == (b"1" if inherited else b"0")
    os.waitpid(child, 0)
    for descriptor in (*go, *done):
        os.close(descriptor)
    assert not _is_held(path)


def test_a_child_that_releases_takes_nothing_from_its_parent(path: str) -> None:
    """Hazard 13: unmapping in a child leaves the parent's lease alone."""
    lease = _take(path, inherited=True, shared=True)
    child = os.fork()
    if child == 0:
        lease.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert _is_held(path)
    lease.release()


def test_a_probe_does_not_take_the_lease(path: str) -> None:
    """Hazard 17: a process can take a lease while another one probes it."""
    probe = os.open(path, os.O_RDWR)
    owner = os.open(path, os.O_RDWR)
    for _ in range(100):
        assert not leases.is_held(probe, BYTE)
    assert leases.try_lock(owner, BYTE)
    assert leases.is_held(probe, BYTE)
    os.close(owner)
    os.close(probe)


def test_a_shared_lease_is_told_from_an_exclusive_one(path: str) -> None:
    """The collector locks the participants byte exclusively to end a session; that is no participant."""
    probe = os.open(path, os.O_RDWR)
    for shared in (True, False):
        assert not leases.is_shared(probe, BYTE)
        lease = _take(path, inherited=False, shared=shared)
        assert leases.is_held(probe, BYTE)
        assert leases.is_shared(probe, BYTE) is shared
        lease.release()
    os.close(probe)


def test_descriptions_exclude_threads_of_one_process(path: str) -> None:
    """Hazard 23: two open file descriptions of one process exclude each other, as POSIX locks would not."""
    one, other = os.open(path, os.O_RDWR), os.open(path, os.O_RDWR)
    assert leases.try_lock(one, BYTE)
    assert not leases.try_lock(other, BYTE)
    os.close(one)
    assert leases.try_lock(other, BYTE)
    os.close(other)


@pytest.mark.parametrize("in_c", [False, True])
def test_the_fork_guard_reads_zero_in_every_child(in_c: bool) -> None:
    """Hazard 28: the guard sees forks made in C, too, and a child can arm a byte of its own."""
    guard = ForkGuard()
    armed = guard.arm()
    assert guard.page[armed] == 1
    child = ctypes.CDLL(None).fork() if in_c else os.fork()
    if child == 0:
        again = guard.arm()
        os._exit(0 if guard.page[armed] == 0 and guard.page[again] == 1 and again != armed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert guard.page[armed] == 1
