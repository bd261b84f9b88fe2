"""Introductions of producers: descriptors arrive with their owners, and other datagrams do no harm."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.collector.reporting.death_causes import MAX_WATCHED, DeathCauses
from rerun_mp.shm import introductions
from tests.harness.programs import ROOT

KERNEL = tuple(int(number) for number in os.uname().release.split(".")[:2])
TELLS_LATER = KERNEL >= (6, 15)
"""Whether the kernel tells how a process ended after its parent has waited for it."""


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[int]:
    descriptor = introductions.open_mailbox(str(tmp_path))
    assert descriptor >= 0
    yield descriptor
    os.close(descriptor)


def child(directory: Path, owner: int, number: signal.Signals | None) -> int:
    """Have a child introduce itself and end. Returns the process id of the reaped child."""
    pid = os.fork()
    if pid == 0:
        introductions.announce(str(directory), owner)
        if number is not None:
            os.kill(os.getpid(), number)
        os._exit(3)
    os.waitpid(pid, 0)
    return pid


def test_the_cause_of_death_of_a_reaped_process_is_known(mailbox: int, tmp_path: Path) -> None:
    pids = {
        owner: child(tmp_path, owner, number) for owner, number in ((1, signal.SIGKILL), (2, None), (3, signal.SIGTERM))
    }
    deaths = DeathCauses()
    deaths.receive(mailbox)
    assert all(deaths.has_ended(owner) for owner in pids)
    causes = [deaths.cause(owner, pid) for owner, pid in pids.items()]
    assert causes == ["SIGKILL" if TELLS_LATER else None, None, None]
    assert deaths.cause(1, pids[1]) is None, "the collector watches it no longer"


def test_other_datagrams_are_discarded(mailbox: int, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deaths = DeathCauses()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.connect(str(tmp_path / "births"))
        stranger.send(b"no descriptor at all")
        socket.send_fds(stranger, [b"too many"], [0, 1, 2])
        deaths.receive(mailbox)
    assert list(introductions.received(mailbox)) == []
    for owner in list(deaths._descriptors):
        deaths.cause(owner, 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_number_of_watched_processes_is_bounded(mailbox: int, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deaths = DeathCauses()
    for owner in range(MAX_WATCHED + 10):
        introductions.announce(str(tmp_path), owner)
        deaths.receive(mailbox)
    assert len(deaths._descriptors) == MAX_WATCHED
    assert len(os.listdir("/proc/self/fd")) == before + MAX_WATCHED
    for owner in range(MAX_WATCHED + 10):
        deaths.cause(owner, 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_socket_takes_no_descriptor_number_that_a_collector_needs(tmp_path: Path) -> None:
    """A starter sets descriptor 9 before it duplicates the socket to 8. A socket that was 9 would be lost by then."""
    code = """
import os, sys
from rerun_mp.shm import introductions
os.closerange(3, 256)
assert introductions.open_mailbox(sys.argv[1]) >= 10
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)


def test_without_a_socket_a_producer_neither_waits_nor_raises(tmp_path: Path) -> None:
    introductions.announce(str(tmp_path), 1)
    introductions.announce(str(tmp_path / ("x" * 200)), 1)
    assert introductions.open_mailbox(str(tmp_path / ("x" * 200))) == -1
    mailbox = introductions.open_mailbox(str(tmp_path))
    for owner in range(1000):  # no process reads the queue
        introductions.announce(str(tmp_path), owner)
    os.close(mailbox)


def test_an_inherited_socket_is_used_if_it_belongs_to_the_session(tmp_path: Path) -> None:
    if os.fork() == 0:
        own = introductions.open_mailbox(str(tmp_path))
        os.dup2(own, introductions.DESCRIPTOR)
        other = tmp_path / "other"
        other.mkdir()
        same = introductions.inherited_mailbox(str(tmp_path)) == introductions.DESCRIPTOR
        os._exit(0 if same and introductions.inherited_mailbox(str(other)) not in (-1, introductions.DESCRIPTOR) else 1)
    assert os.wait()[1] == 0
