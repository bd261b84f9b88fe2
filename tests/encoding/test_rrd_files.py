"""A file of rerun-sdk is read from any chunk on, finished or not, up to its last whole message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rerun_mp.collector.store.rerun_files import read_file
from rerun_mp.collector.store.rerun_sinks import SinkWriter, open_file
from rerun_mp.encoding import rrd_files
from rerun_mp.encoding.rrd_files import Bookmarks, chunk_payloads, count_chunks, is_complete, windows
from rerun_mp.errors import CorruptionError
from tests.collector.made_frames import RECORDING
from tests.collector.store.made_stores import chunks

TOTAL = 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.rrd"


@pytest.fixture
def writer(path: Path) -> Iterator[SinkWriter]:
    """Return the writer of a file that has been flushed and is not finished."""
    writer = open_file(path, RECORDING)
    for chunk in chunks(range(TOTAL)):
        writer.send(chunk)
    writer.flush(10.0)
    yield writer
    writer.discard(10.0)


def ids_read(path: Path, writer: SinkWriter, **part: int) -> list[str]:
    return [chunk.id for chunk in read_file(path, prelude=writer.prelude, **part)]


IDS = [chunk.chunk_id for chunk in chunks(range(TOTAL))]


@pytest.mark.parametrize("window_bytes", [1, 3_000, 1 << 20])
def test_any_range_of_a_growing_file_can_be_read(
    path: Path, writer: SinkWriter, window_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrd_files, "WINDOW_BYTES", window_bytes)
    assert count_chunks(path, writer.prelude) == TOTAL
    assert ids_read(path, writer) == IDS
    assert ids_read(path, writer, skip=7, limit=5) == IDS[7:12]
    assert ids_read(path, writer, skip=TOTAL) == []
    assert ids_read(path, writer, limit=0) == []


def test_wherever_a_file_is_cut_its_whole_chunks_are_read(path: Path, writer: SinkWriter) -> None:
    whole = path.read_bytes()
    cut = path.with_name("cut.rrd")
    for size in range(writer.prelude, len(whole), 97):
        cut.write_bytes(whole[:size])
        read = ids_read(cut, writer)
        assert read == IDS[: len(read)]
        assert len(read) == count_chunks(cut, writer.prelude)
    assert len(read) == TOTAL - 1


def test_a_complete_file_is_recognised_by_its_footer(path: Path, writer: SinkWriter) -> None:
    assert not is_complete(path)
    assert writer.discard(10.0)
    assert is_complete(path)
    assert ids_read(path, writer) == IDS
    assert count_chunks(path, writer.prelude) == TOTAL


def test_a_file_that_is_no_rrd_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("something else, and long enough to hold a message of some kind")
    with other.open("rb") as file, pytest.raises(CorruptionError, match=r"is not an \.rrd file"):
        next(windows(file.fileno(), 12))


def test_windows_leave_no_descriptor_open(path: Path, writer: SinkWriter) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        reading = read_file(path, prelude=writer.prelude)
        next(reading)
        reading.close()  # type: ignore[attr-defined]  # it is a generator
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("stride", [1, 3, 64])
def test_a_reader_that_goes_on_does_not_walk_over_what_lies_before(
    path: Path, writer: SinkWriter, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rrd_files, "STRIDE", stride)
    bookmarks = Bookmarks()

    def read(skip: int, limit: int, bookmarks: Bookmarks) -> list[bytes]:
        with open(path, "rb") as file:
            return list(chunk_payloads(file.fileno(), writer.prelude, skip=skip, limit=limit, bookmarks=bookmarks))

    whole = read(0, TOTAL, Bookmarks())
    assert read(0, 8, bookmarks) == whole[:8]
    assert read(5, 3, bookmarks) == whole[5:8]
    with open(path, "r+b") as file:
        file.seek(writer.prelude)
        file.write(bytes(bookmarks.before(8, writer.prelude)[1] - writer.prelude))
    assert bookmarks.before(8, writer.prelude)[0] == 8
    assert read(8, TOTAL, bookmarks) == whole[8:]
