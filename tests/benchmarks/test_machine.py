"""Whose CPU is whose."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.machine import TOKEN_VARIABLE, ForeignCpu, Usage, cpu_of, cpu_secs, foreign_seconds, rss_anon

SLEEPER = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]


def test_others_are_charged_for_what_they_used_meanwhile() -> None:
    before = {(10, 1.0): Usage(5.0, 1.0, 1), (11, 1.0): Usage(2.0, 0.0, 1)}
    after = {(10, 1.0): Usage(5.5, 1.0, 1), (11, 1.0): Usage(2.0, 0.0, 1), (12, 2.0): Usage(0.25, 0.0, 1)}
    assert foreign_seconds(before, after) == pytest.approx(0.75)


def test_processes_that_come_and_go_meanwhile_show_in_their_parent() -> None:
    assert foreign_seconds({(10, 1.0): Usage(1.0, 0.0, 1)}, {(10, 1.0): Usage(1.0, 3.0, 1)}) == pytest.approx(3.0)


def test_what_a_process_used_before_is_not_charged_when_it_is_waited_for() -> None:
    before = {(10, 1.0): Usage(1.0, 0.0, 1), (11, 1.0): Usage(60.0, 0.0, 10)}
    assert foreign_seconds(before, {(10, 1.0): Usage(1.0, 60.5, 1)}) == pytest.approx(0.5)


def test_nor_when_its_parent_has_ended_as_well() -> None:
    before = {(10, 1.0): Usage(1.0, 0.0, 1), (11, 1.0): Usage(2.0, 0.0, 10), (12, 1.0): Usage(60.0, 0.0, 11)}
    assert foreign_seconds(before, {(10, 1.0): Usage(1.0, 62.5, 1)}) == pytest.approx(0.5)


def test_a_number_that_was_given_away_again_is_another_process() -> None:
    assert foreign_seconds({(10, 1.0): Usage(60.0, 0.0, 1)}, {(10, 9.0): Usage(0.5, 0.0, 1)}) == pytest.approx(0.5)


@pytest.fixture
def orphans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Start a process of ours and one of somebody else's, both nobody's children, as a collector is."""
    monkeypatch.setenv(TOKEN_VARIABLE, "ours")
    pids = []
    for token in ("ours", "theirs"):
        said = tmp_path / token
        command = ["sh", "-c", f'"$@" > "{said}" 2>&1 & echo $!', "sh", *SLEEPER]
        environment = {**os.environ, TOKEN_VARIABLE: token}
        done = subprocess.run(command, env=environment, start_new_session=True, capture_output=True, check=True)
        pids.append(int(done.stdout))
        while "up" not in said.read_text():
            assert psutil.pid_exists(pids[-1])
    yield pids[0], pids[1]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_ours_are_told_from_others_by_their_environment(orphans: tuple[int, int]) -> None:
    looked = {pid for pid, _ in ForeignCpu()._look()}
    assert orphans[0] not in looked
    assert orphans[1] in looked
    assert os.getpid() not in looked


def test_a_child_of_ours_is_ours_whatever_its_environment() -> None:
    child = subprocess.Popen(SLEEPER, env={}, stdout=subprocess.DEVNULL)
    try:
        assert child.pid not in {pid for pid, _ in ForeignCpu()._look()}
    finally:
        child.kill()
        child.wait()


def test_memory_and_cpu_of_a_process_grow_with_use() -> None:
    before, used = rss_anon(), cpu_secs(os.getpid())
    # Of the kernel itself: the allocator might give again what it has had since an earlier test.
    with mmap.mmap(-1, 20_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(os.urandom(20_000_000))
        assert rss_anon() - before > 15_000_000
    assert cpu_secs(os.getpid()) > used
    assert cpu_of(psutil.Process()) > 0


def test_a_process_that_has_ended_has_no_memory() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert rss_anon(child.pid) == 0
