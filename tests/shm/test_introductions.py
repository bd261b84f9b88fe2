"""Producers introduce themselves: descriptors arrive with their owners, and whatever else arrives costs nothing."""

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
from rerun_mp.shm import introductions as births
from tests.harness.programs import ROOT


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[int]:
    descriptor = births.open_mailbox(str(tmp_path))
    assert descriptor >= 0
    yield descriptor
    os.close(descriptor)


def child(directory: Path, owner: int, number: signal.Signals | None) -> int:
    """Have a child introduce itself and end; return its process id, which is nobody's any more."""
    pid = os.fork()
    if pid == 0:
        births.announce(str(directory), owner)
        if number is not None:
            os.kill(os.getpid(), number)
        os._exit(3)
    os.waitpid(pid, 0)
    return pid


def test_the_end_of_a_process_that_is_long_gone_is_known(mailbox: int, tmp_path: Path) -> None:
    pids = {
        owner: child(tmp_path, owner, number) for owner, number in ((1, signal.SIGKILL), (2, None), (3, signal.SIGTERM))
    }
    deaths = DeathCauses()
    deaths.receive(mailbox)
    assert all(deaths.has_ended(owner) for owner in pids)
    assert [deaths.cause(owner, pid) for owner, pid in pids.items()] == ["SIGKILL", None, None]
    assert deaths.cause(1, pids[1]) is None, "it is watched no more"


def test_whatever_else_arrives_is_put_aside(mailbox: int, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deaths = DeathCauses()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
        stranger.connect(str(tmp_path / "births"))
        stranger.send(b"no descriptor at all")
        socket.send_fds(stranger, [b"too many"], [0, 1, 2])
        deaths.receive(mailbox)
    assert list(births.received(mailbox)) == []
    for owner in list(deaths._descriptors):
        deaths.cause(owner, 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_more_are_watched_than_there_is_room_for(mailbox: int, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deaths = DeathCauses()
    for owner in range(MAX_WATCHED + 10):
        births.announce(str(tmp_path), owner)
        deaths.receive(mailbox)
    assert len(deaths._descriptors) == MAX_WATCHED
    assert len(os.listdir("/proc/self/fd")) == before + MAX_WATCHED
    for owner in range(MAX_WATCHED + 10):
        deaths.cause(owner, 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_socket_is_out_of_the_way_of_the_numbers_that_a_collector_is_given(tmp_path: Path) -> None:
    """Handed on as 8, after another was handed on as 9: had it that number itself, it would be the other by then."""
    code = """
import os, sys
from rerun_mp.shm import introductions as births
os.closerange(3, 256)
assert births.open_mailbox(sys.argv[1]) >= 10
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)


def test_without_a_socket_nobody_waits_and_nothing_is_raised(tmp_path: Path) -> None:
    births.announce(str(tmp_path), 1)
    births.announce(str(tmp_path / ("x" * 200)), 1)
    assert births.open_mailbox(str(tmp_path / ("x" * 200))) == -1
    mailbox = births.open_mailbox(str(tmp_path))
    for owner in range(1000):  # a queue that nobody reads
        births.announce(str(tmp_path), owner)
    os.close(mailbox)


def test_an_inherited_socket_is_taken_over_if_it_is_the_sessions(tmp_path: Path) -> None:
    if os.fork() == 0:
        own = births.open_mailbox(str(tmp_path))
        os.dup2(own, births.DESCRIPTOR)
        other = tmp_path / "other"
        other.mkdir()
        same = births.inherited_mailbox(str(tmp_path)) == births.DESCRIPTOR
        os._exit(0 if same and births.inherited_mailbox(str(other)) not in (-1, births.DESCRIPTOR) else 1)
    assert os.wait()[1] == 0
