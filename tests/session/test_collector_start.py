"""A collector is started with the program's modules and without its settings, and only if there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import rerun_mp
from rerun_mp.session import collector_check, collector_start
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment


def test_a_collector_finds_the_modules_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's parent directory is on its path, and the package's own directory is not."""
    monkeypatch.setattr(sys, "path", ["/script", "/usr", "", "/missing"])
    paths = collector_start.collector_environment()["PYTHONPATH"].split(os.pathsep)
    package = os.path.dirname(os.path.abspath(rerun_mp.__file__))
    assert paths == ["/usr", os.path.dirname(package)]


def test_a_collector_finds_modules_beside_the_programs_directory(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    """A relative path of the program leads from the program's directory, which the collector leaves."""
    (place / "vendored").mkdir()
    monkeypatch.setattr(sys, "path", ["/script", "vendored"])
    paths = collector_start.collector_environment()["PYTHONPATH"].split(os.pathsep)
    assert paths[0] == str(place / "vendored")


def test_a_collector_has_no_settings_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RERUN", "RERUN_MP_POLICY", "RERUN_STRICT", "PYTHONSTARTUP", "PYTHONWARNINGS", "KEPT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "17")
    environment = collector_start.collector_environment()
    assert not [name for name in environment if name.startswith("RERUN") or name in ("PYTHONSTARTUP", "PYTHONWARNINGS")]
    assert (environment["KEPT"], environment["MALLOC_TRIM_THRESHOLD_"]) == ("1", "17")


def test_numpy_starts_no_threads_in_a_collector() -> None:
    """It would start one for each further processor, and all of them would spin for a while."""
    code = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    environment = collector_start.collector_environment()
    threads = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert threads.stdout == "1\n"


def test_the_command_names_role_segment_and_nonce(lone_segment: Segment) -> None:
    assert collector_start.collector_command(lone_segment, "guard")[-3:] == [
        "guard",
        lone_segment.path,
        lone_segment.nonce.hex(),
    ]


@pytest.mark.parametrize("lock", [Lock.GUARD, Lock.WORKER, Lock.STARTER])
def test_no_collector_is_started_beside_a_guard_a_worker_or_another_starter(
    lock: int, lone_segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Segment] = []
    monkeypatch.setattr(collector_start, "_start", lambda segment, _: started.append(segment))
    descriptor = lone_segment.open()
    try:
        assert leases.try_lock(descriptor, lock)
        collector_start.ensure_collector(lone_segment)
        assert started == []
        collector_start.ensure_collector(lone_segment, need_guard=True)
        assert len(started) == (lock == Lock.WORKER)
    finally:
        os.close(descriptor)
    collector_start.ensure_collector(lone_segment)
    assert len(started) == 1 + (lock == Lock.WORKER)


def test_a_session_that_has_ended_needs_none(lone_segment: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_start, "_start", lambda *_: pytest.fail("a collector was started"))
    lone_segment.ring.words[Header.SESSION_STATE] = SessionState.ENDED
    collector_start.ensure_collector(lone_segment)


def test_a_session_that_begins_to_end_meanwhile_needs_none(
    lone_segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker renames the segment between a look at the state and the opening of the file."""
    monkeypatch.setattr(collector_start, "_start", lambda *_: pytest.fail("a collector was started"))
    descriptor = lone_segment.open()

    def begin_to_end(segment: Segment) -> None:
        segment.ring.words[Header.SESSION_STATE] = SessionState.ENDING
        os.rename(segment.path, segment.ending_path)

    monkeypatch.setattr(collector_check, "check_pause", begin_to_end)
    try:
        assert leases.try_lock(descriptor, Lock.GUARD)
        collector_start.ensure_collector(lone_segment)
    finally:
        os.rename(lone_segment.ending_path, lone_segment.path)
        os.close(descriptor)
