"""Rows that the collector logs: rerun takes their chunks, and the same report again is the same chunk."""

from __future__ import annotations

from rerun_mp.collector.drain.own_chunks import number_chunk, start_time_chunk, text_chunk
from tests.collector.made_frames import RECORDING, row_ids
from tests.harness.rerun_names import Chunk


def test_rerun_takes_the_chunks() -> None:
    made = [
        start_time_chunk(RECORDING, 1_700_000_000_000_000_000),
        text_chunk(RECORDING, "/text", "WARN", ["one", "two"]),
        number_chunk(RECORDING, "/number", 0.5),
    ]
    for own in made:
        (chunk,) = Chunk.from_record_batch(own.batch)
        assert (chunk.id, chunk.entity_path, chunk.num_rows) == (own.chunk_id, own.entity_path, own.num_rows)


def test_a_chunk_that_is_built_again_has_the_same_ids() -> None:
    one, other = (start_time_chunk(RECORDING, 1_700_000_000_000_000_000) for _ in range(2))
    assert one.batch == other.batch
    assert one.chunk_id == other.chunk_id
    one, other = (text_chunk(RECORDING, "/text", "WARN", ["one", "two"], b"identity", 7) for _ in range(2))
    assert one.chunk_id == other.chunk_id
    assert row_ids(one.batch) == row_ids(other.batch)
    assert len(set(row_ids(one.batch))) == 2


def test_chunks_without_an_identity_have_ids_of_their_own() -> None:
    ids = {number_chunk(RECORDING, "/number", 0.5).chunk_id for _ in range(100)}
    assert len(ids) == 100
