"""The accounting tells the CPU of foreign processes from our own."""

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


def test_foreign_processes_are_charged_for_the_time_between_the_looks() -> None:
    before = {(10, 1.0): Usage(5.0, 1.0, 1), (11, 1.0): Usage(2.0, 0.0, 1)}
    after = {(10, 1.0): Usage(5.5, 1.0, 1), (11, 1.0): Usage(2.0, 0.0, 1), (12, 2.0): Usage(0.25, 0.0, 1)}
    assert foreign_seconds(before, after) == pytest.approx(0.75)


def test_short_processes_show_in_their_parent() -> None:
    assert foreign_seconds({(10, 1.0): Usage(1.0, 0.0, 1)}, {(10, 1.0): Usage(1.0, 3.0, 1)}) == pytest.approx(3.0)


def test_time_before_the_first_look_is_not_charged_to_the_parent() -> None:
    before = {(10, 1.0): Usage(1.0, 0.0, 1), (11, 1.0): Usage(60.0, 0.0, 10)}
    assert foreign_seconds(before, {(10, 1.0): Usage(1.0, 60.5, 1)}) == pytest.approx(0.5)


def test_time_before_the_first_look_is_not_charged_to_a_grandparent() -> None:
    before = {(10, 1.0): Usage(1.0, 0.0, 1), (11, 1.0): Usage(2.0, 0.0, 10), (12, 1.0): Usage(60.0, 0.0, 11)}
    assert foreign_seconds(before, {(10, 1.0): Usage(1.0, 62.5, 1)}) == pytest.approx(0.5)


def test_a_reused_process_id_is_another_process() -> None:
    assert foreign_seconds({(10, 1.0): Usage(60.0, 0.0, 1)}, {(10, 9.0): Usage(0.5, 0.0, 1)}) == pytest.approx(0.5)


@pytest.fixture
def orphans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Start a process of ours and a foreign one, both without a parent among us, as a collector is."""
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


def test_a_token_in_the_environment_marks_our_processes(orphans: tuple[int, int]) -> None:
    looked = {pid for pid, _ in ForeignCpu()._look()}
    assert orphans[0] not in looked
    assert orphans[1] in looked
    assert os.getpid() not in looked


def test_a_child_process_counts_as_own_without_the_token() -> None:
    child = subprocess.Popen(SLEEPER, env={}, stdout=subprocess.DEVNULL)
    try:
        assert child.pid not in {pid for pid, _ in ForeignCpu()._look()}
    finally:
        child.kill()
        child.wait()


def test_memory_and_cpu_of_a_process_grow_with_use() -> None:
    before, used = rss_anon(), cpu_secs(os.getpid())
    # Mapped directly, because the allocator might reuse memory that it has kept since an earlier test.
    with mmap.mmap(-1, 20_000_000, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
        held.write(os.urandom(20_000_000))
        assert rss_anon() - before > 15_000_000
    assert cpu_secs(os.getpid()) > used
    assert cpu_of(psutil.Process()) > 0


def test_a_process_that_has_ended_has_no_memory() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert rss_anon(child.pid) == 0
