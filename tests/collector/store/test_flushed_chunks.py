"""A reader of a store gets every flushed chunk, from memory or from the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import flushed_chunks
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    chunks,
    file_spec,
    live_and_be_killed,
    numbers_read,
    put,
)


def test_what_was_flushed_can_be_read_while_the_file_is_written(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, range(5))
    one.append(chunks([5]))
    assert numbers_read(one) == [0, 1, 2, 3, 4]
    assert numbers_read(one, since=3) == [3, 4]
    assert one.chunks.end == 5
    finish(one)


def test_a_reader_misses_nothing_when_parts_become_one(spool: Path, out: Path) -> None:
    """Wherever the reader was, and although the whole file leaves out chunks that two parts have in common.

    The file may or may not hold a chunk that was not flushed when the collector was killed.
    """
    live_and_be_killed(spool, out, [0, 1, 2])
    live_and_be_killed(spool, out, [2, 3])
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [3, 99, 4])
    everything = numbers_read(one)
    readings = [one.chunks.read() for _ in range(one.chunks.end)]
    seen = [[next(reading) for _ in range(n)] for n, reading in enumerate(readings)]
    one.complete()
    for since in range(one.chunks.end + 1):
        assert {*everything[:since], *numbers_read(one, since)} == {*everything}
    for reading, entries in zip(readings, seen, strict=True):
        entries.extend(reading)
        chunk_ids = {chunk.id if hasattr(chunk, "id") else chunk.chunk_id for _, chunk in entries}
        assert len(chunk_ids) == len({*everything})
    finish(one)


def test_recent_chunks_are_read_from_memory_and_older_ones_from_the_parts(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flushed_chunks, "RECENT_BYTES", sum(chunk.num_bytes for chunk in chunks(range(4))))
    one = RecordingStore(RECORDING, spool, NONCE)
    one.attach_live()
    put(one, range(10))
    assert [isinstance(chunk, ChunkBatch) for _, chunk in one.chunks.read(6)] == [True] * 4
    assert numbers_read(one, 6) == [6, 7, 8, 9]
    assert [isinstance(chunk, ChunkBatch) for _, chunk in one.chunks.read(5)] == [False] * 5
    assert numbers_read(one, 5) == [5, 6, 7, 8, 9]
    finish(one)
