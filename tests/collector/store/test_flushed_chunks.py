"""A reader of a store gets every flushed chunk, from memory or from the parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.collector.drain.own_chunks import text_chunk
from rerun_mp.collector.store import flushed_chunks
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.encoding.log_messages import batch_of, chunk_id_of
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    FLUSH_SECS,
    chunks,
    file_spec,
    live_and_be_killed,
    numbers_in,
    numbers_read,
    put,
    step_in,
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
        chunk_ids = {chunk_id_of(entry.payload) for entry in entries}
        assert len(chunk_ids) == len({*everything})
    finish(one)


def test_recent_chunks_of_a_file_that_the_user_has_moved_are_read_from_memory(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as in the file. Older chunks are gone."""
    monkeypatch.setattr(flushed_chunks, "RECENT_BYTES", sum(chunk.num_bytes for chunk in chunks(range(4), rows=2)))
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    one.attach_live()
    put(one, range(10), rows=2)
    in_file = [batch_of(entry.payload) for entry in one.chunks.read(8)]
    out.rename(out.with_suffix(".moved"))
    in_memory = [batch_of(entry.payload) for entry in one.chunks.read(8)]
    assert [batch.to_pydict() for batch in in_memory] == [batch.to_pydict() for batch in in_file]
    assert numbers_read(one) == [6, 7, 8, 9]
    finish(one)


def test_rows_are_counted_in_this_life_and_in_earlier_ones(spool: Path, out: Path) -> None:
    live_and_be_killed(spool, out, [0, 1, 2])
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [99, 3], rows=2)
    # 99 may or may not be in the file.
    assert one.chunks.rows_until(one.chunks.rows) in [(3 + 4, True), (3 + 1 + 4, True)]
    assert [entry.rows for entry in one.chunks.read()][:3] == [1, 1, 1]
    assert [entry.rows for entry in one.chunks.read()][-2:] == [2, 2]
    finish(one)


def test_rows_of_a_repeated_sweep_are_counted_once(spool: Path, out: Path) -> None:
    """The collector died after it had stored the sweep. The collector's own chunks may follow the sweep's in the file.

    The second collector repeats the sweep with the same chunk ids, and so does the third one.
    """
    for life in range(3):
        one = RecordingStore(RECORDING, spool, NONCE)
        one.set_files([file_spec(out)])
        if life == 0:
            put(one, [0, 1])
        before = one.chunks.end
        repeated = chunks([2, 3, 4], rows=5)
        one.begin(2, {chunk.chunk_id for chunk in repeated})
        one.append(repeated)
        one.flush(FLUSH_SECS)
        assert one.chunks.rows_until(one.chunks.rows) == (2 + 15, True)
        assert one.chunks.behind(before)[0] == 3
        own = text_chunk(RECORDING, "/__rerun_mp/dropped", "WARN", ["none"])
        one.append([own])
        one.rest()
    one.begin(3, {chunk.chunk_id for chunk in chunks([5])})
    put(one, [5], rows=2)
    assert one.chunks.rows_until(one.chunks.rows) == (2 + 15 + 2, True)
    finish(one)


def test_rows_of_earlier_lives_are_counted_before_parts_are_merged(spool: Path, out: Path) -> None:
    """The merged part leaves out repeated chunks, so that its chunks have other ordinals."""
    for _ in range(2):
        one = RecordingStore(RECORDING, spool, NONCE)
        one.set_files([file_spec(out)])
        one.attach_live()
        repeated = chunks([2, 3, 4], rows=5)
        one.begin(2, {chunk.chunk_id for chunk in repeated})
        one.append(repeated)
        one.flush(FLUSH_SECS)
    put(one, [5])
    one.complete()
    assert one.chunks.rows_until(one.chunks.rows) == (15 + 1, True)
    finish(one)


def test_rows_for_live_sinks_are_unsent_until_one_has_acknowledged_them(spool: Path, out: Path) -> None:
    """Also in the next life, and although a file has taken the sink's place."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.attach_live()
    put(one, [0, 1])
    one.rest()
    put(one, [2])
    one.chunks.note_seen(2)
    one.unfollow()
    one.set_files([file_spec(out)])
    put(one, [3])
    assert [part.first for part in one.chunks.unsent()] == [2]
    again = RecordingStore(RECORDING, spool, NONCE)
    again.set_files([file_spec(out)])
    (part,) = again.chunks.unsent()
    assert [step_in(payload) for _, payload in part.read_messages()] == [2]
    again.complete()
    kept = out.with_name("kept.rrd")
    again.keep_unsent(str(kept))
    assert (numbers_in(out), numbers_in(kept)) == ([3], [2])
    assert [one.path for one in again.completed_files()] == [str(out), str(kept)]
    assert again.is_complete
    finish(again)


def test_rows_that_a_live_sink_acknowledges_after_its_removal_are_not_unsent(spool: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.attach_live()
    put(one, [0])
    one.unfollow()
    assert len(one.chunks.unsent()) == 1
    one.chunks.note_seen(1)
    one.note_acknowledged()
    assert RecordingStore(RECORDING, spool, NONCE).chunks.unsent() == []
    finish(one)


def test_a_chunk_that_a_repeated_sweep_brings_again_comes_once_to_a_sink_that_is_set_later(
    spool: Path, out: Path
) -> None:
    """The file of such a sink held it twice, and the part list counted its rows twice."""
    live_and_be_killed(spool, out, [0, 1], "buffer", is_written=True)
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [99])
    assert [chunk.chunk_id for chunk in one.chunks.before_sinks()] == [one.chunk_id for one in chunks([0, 1, 99])]


def test_each_file_counts_the_rows_that_it_has(spool: Path, out: Path) -> None:
    """The first one begins with rows that came before it. Rows of the first one are not the second one's."""
    second = out.with_name("second.rrd")
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [0, 1], rows=2)
    one.set_files([file_spec(out)])
    put(one, [2], rows=3)
    assert one.chunks.known_rows() == 7
    one.set_files([file_spec(second)])
    put(one, [3, 4], rows=4)
    finish(one)
    assert (len(numbers_in(out)), len(numbers_in(second))) == (7, 8)
    assert one.chunks.known_rows() == 8
