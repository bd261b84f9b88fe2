"""Devices and pipes take rows directly and stay what they are."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    file_spec,
    file_status,
    numbers_in,
    put,
)
from tests.harness.recordings import verify


def test_devices_and_pipes_are_written_directly(spool: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    while True:  # ends when the reader has opened the pipe
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        break
    reader.join()
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    received.clear()
    reader.start()
    one = RecordingStore(RECORDING, spool, NONCE)
    while not one.reports() or file_status(one).state != "writing":  # until the reader is there
        one.set_files([])
        one.set_files([file_spec(pipe)])
    put(one, [0, 1])
    finish(one)
    reader.join()
    assert pipe.is_fifo()
    copy = tmp_path / "copy.rrd"
    copy.write_bytes(received[0])
    verify(copy)
    assert numbers_in(copy) == [0, 1]


def test_a_pipe_without_a_reader_holds_up_nothing(
    spool: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(pipe)])
    put(one, [0])
    assert file_status(one).state == "diverted"
    finish(one)
    assert "no part can be written" in capfd.readouterr().err


def test_the_null_device_stays_what_it_is(spool: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(Path(os.devnull))])
    put(one, [0])
    again = RecordingStore(RECORDING, spool, NONCE)
    put(again, [1])
    finish(again)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
