"""Rows go to the spool when their file fails or has no room, and into the file in the end."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rerun_mp.collector.store import appending, disks, part_writer
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.errors import ResourceError
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import (
    file_spec,
    file_status,
    nothing_left,
    numbers_in,
    numbers_read,
    put,
)
from tests.harness.recordings import verify


@contextmanager
def files_limited_to(num_bytes: int) -> Iterator[None]:
    """Let writing beyond a size fail, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_fails_costs_no_row(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(part_writer, "STALLED_SECS", 0.5)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    with files_limited_to(40_000):
        put(one, range(10))
        assert file_status(one).state == "writing"
        for n in range(10, 60, 10):
            put(one, range(n, n + 10))
        assert file_status(one).state == "diverted"
        put(one, [60])
    failure = file_status(one).failure
    assert failure is not None
    assert out.name in failure
    assert numbers_read(one) == list(range(61))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(61))
    assert nothing_left(spool, out)
    assert failure in capfd.readouterr().err


def test_a_file_that_stands_still_costs_no_row(
    spool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its writer hangs in the system, as on a dead network disk: here in a pipe without a reader."""
    monkeypatch.setattr(part_writer, "STALLED_SECS", 0.2)
    pipe = tmp_path / "pipe.rrd"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(pipe)])
    put(one, range(500))
    assert file_status(one).state == "diverted"
    failure = file_status(one).failure
    assert failure == f"{pipe} did not grow for 0.2 s"
    assert numbers_read(one) == list(range(500))
    assert failure in capfd.readouterr().err
    os.close(reader)


def test_a_disk_nearly_full_is_left_alone_and_the_rows_wait_in_the_spool(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [0])
    roomy = disks.has_room
    monkeypatch.setattr(disks, "has_room", lambda path, size: str(spool) in path and roomy(path, size))
    put(one, [1])
    assert file_status(one).state == "diverted"
    with pytest.raises(ResourceError, match="too little space is left to complete"):
        finish(one)
    assert "its rows stay in" in str(file_status(one).failure)
    monkeypatch.undo()
    finish(one)
    verify(out)
    assert numbers_in(out) == [0, 1]
    assert nothing_left(spool, out)
    assert "no space is left" in capfd.readouterr().err


def test_a_file_goes_on_when_its_disk_has_room_again(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its later rows do not go to the spool, which is bounded."""
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    one.set_files([file_spec(out)])
    put(one, [0])
    roomy = disks.has_room
    monkeypatch.setattr(disks, "has_room", lambda path, size: str(spool) in path and roomy(path, size))
    put(one, [1])
    clock.go(appending.RETRY_SECS)
    put(one, [2])
    assert file_status(one).state == "diverted"
    monkeypatch.undo()
    put(one, [3])
    assert file_status(one).state == "diverted"
    clock.go(appending.RETRY_SECS)
    put(one, [4])
    assert (file_status(one).state, file_status(one).failure) == ("writing", None)
    assert numbers_read(one) == list(range(5))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(5))
    assert nothing_left(spool, out)
    assert "no space is left" in capfd.readouterr().err


def test_a_directory_that_is_not_there_costs_no_row(spool: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = out.parent / "later" / "out.rrd"
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [0])
    one.set_files([file_spec(target)])
    put(one, [1])
    target.parent.mkdir()
    finish(one)
    verify(target)
    assert numbers_in(target) == [0, 1]
    assert "no part can be written" in capfd.readouterr().err
