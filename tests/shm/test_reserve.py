"""The descriptor with which a process goes on after it has changed its user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.shm import leases
from rerun_mp.shm.layout import Lock
from rerun_mp.shm.reserve import Reserve
from tests.shm.steps import raised_at_every_step

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only a process of root has a reserve")

BYTE = Lock.SLOTS + 5


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "segment"
    path.write_bytes(b"x")
    return path


@pytest.fixture
def reserve(segment: Path) -> Iterator[Reserve]:
    made = Reserve()
    made.renew(lambda: os.open(segment, os.O_RDWR))
    yield made
    if made.descriptor() >= 0:
        os.close(made.descriptor())


def test_a_lock_excludes_other_processes_until_it_is_unlocked(reserve: Reserve, segment: Path) -> None:
    other = os.open(segment, os.O_RDWR)
    assert reserve.lock(BYTE)
    assert leases.is_held(other, BYTE)
    reserve.unlock(BYTE)
    assert leases.try_lock(other, BYTE)
    assert not reserve.lock(BYTE)
    os.close(other)
    assert reserve.lock(BYTE)


def test_a_call_in_the_middle_of_another_one_does_not_get_its_lock(reserve: Reserve) -> None:
    """The kernel would give it, because both calls use one description."""
    assert reserve.lock(BYTE)
    assert not reserve.lock(BYTE)


def test_a_descriptor_that_has_become_another_file_is_not_used(reserve: Reserve, tmp_path: Path) -> None:
    descriptor = reserve.descriptor()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    os.dup2(other, descriptor)
    assert reserve.descriptor() == -1
    reserve.renew(lambda: os.open(tmp_path / "segment", os.O_RDWR))
    os.fstat(descriptor)  # the user's file is still open
    for number in (descriptor, other):
        os.close(number)


def test_a_forked_child_uses_a_description_of_its_own(reserve: Reserve, segment: Path) -> None:
    assert reserve.lock(BYTE)
    child = os.fork()
    if child == 0:
        inherited = reserve.descriptor()
        reserve.renew(lambda: os.open(segment, os.O_RDWR))
        os._exit(inherited == -1 and not reserve.lock(BYTE) and reserve.lock(BYTE + 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert reserve.lock(BYTE + 1)


def test_an_exception_of_the_program_in_the_comparison_of_files_reaches_the_program(reserve: Reserve) -> None:
    """`fstat` raises one of the same class when the program has closed the descriptor."""
    assert raised_at_every_step(reserve.descriptor, Reserve, OSError) > 10
    os.close(reserve.descriptor())
    assert reserve.descriptor() == -1
