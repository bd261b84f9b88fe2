"""Rows become chunks whole, in order, grouped across slots. The same ranges always give the same chunk ids."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter, defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.collector.drain import frame_chunks as chunks
from rerun_mp.collector.drain.chunks import MAX_CHUNK_BYTES, BuiltChunks
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.encoding.frames import RecordingKey, RowsFrame
from tests.collector.made_frames import (
    RECORDING,
    SCALARS,
    column,
    frame,
    row_ids,
    scalars_frame,
    schema_of,
    shape_of,
    step,
)
from tests.harness.rerun_names import Chunk

NONCE = b"0123456789abcdef"


@st.composite
def sweeps(draw: st.DrawFn) -> list[TakenFrames]:
    """Sweeps of several slots, in which no two rows have the same id."""
    counter = defaultdict[int, int](int)
    taken = []
    for slot in range(draw(st.integers(1, 4))):
        frames = []
        for _ in range(draw(st.integers(0, 6))):
            time = draw(st.integers(0, 3) | st.sampled_from([2**63, 2**64 - 1]))
            rows = draw(st.integers(1, 4))
            entity = draw(st.sampled_from(["/a", "/b"]))
            recording = draw(st.sampled_from([RECORDING, RecordingKey("app", "other")]))
            shape = dataclasses.replace(SCALARS, recording=recording)
            values = [float(counter[time] + i) for i in range(rows)]
            frames.append(scalars_frame(values, row_id=(time, counter[time]), entity_path=entity, shape=shape))
            counter[time] += rows
        draw(st.randoms(use_true_random=False)).shuffle(frames)
        taken.append(TakenFrames(slot, draw(st.integers(0, 2)), 0, 64 * len(frames), frames))
    return taken


def rows_in(built: BuiltChunks) -> Counter[tuple[RecordingKey, str, tuple[int, int], float]]:
    return Counter(
        (chunk.recording, chunk.entity_path, row_id, values[0])
        for chunk in built.chunks
        for row_id, values in zip(row_ids(chunk.batch), chunk.batch.column("Scalars:scalars").to_pylist(), strict=True)
    )


def rows_of_frames(taken: list[TakenFrames]) -> Counter[tuple[RecordingKey, str, tuple[int, int], float]]:
    return Counter(
        (f.shape.recording, f.entity_path, (f.row_time, f.row_counter + i), float(f.row_counter + i))
        for piece in taken
        for f in piece.frames
        for i in range(f.rows)
    )


@given(sweeps())
def test_every_row_is_in_one_chunk_and_chunks_ascend(taken: list[TakenFrames]) -> None:
    built = build_chunks(taken, nonce=NONCE)
    assert rows_in(built) == rows_of_frames(taken)
    assert not built.damaged_rows
    assert built.good_rows == Counter(
        {piece.slot: rows for piece in taken if (rows := sum(f.rows for f in piece.frames))}
    )
    for chunk in built.chunks:
        ids = row_ids(chunk.batch)
        assert ids == sorted(set(ids))
        assert chunk.chunk_id.startswith(f"chunk_{ids[0][0]:016X}")
        chunk.batch.validate(full=True)
    assert len({chunk.chunk_id for chunk in built.chunks}) == len(built.chunks)


@given(sweeps(), st.randoms(use_true_random=False))
def test_the_same_ranges_in_another_order_make_the_same_chunks(taken: list[TakenFrames], rnd: random.Random) -> None:
    first = build_chunks(taken, nonce=NONCE)
    shuffled = list(taken)
    rnd.shuffle(shuffled)
    second = build_chunks(shuffled, nonce=NONCE)
    assert [c.chunk_id for c in first.chunks] == [c.chunk_id for c in second.chunks]
    assert [c.batch for c in first.chunks] == [c.batch for c in second.chunks]


def one_slot(frames: list[RowsFrame], *, slot: int = 0, epoch: int = 0, start: int = 0, stop: int = 64) -> TakenFrames:
    return TakenFrames(slot, epoch, start, stop, frames)


def test_the_chunk_id_depends_on_everything_that_identifies_the_rows() -> None:
    """Two entities of one slot, two ranges, two segments of one key: of chunks with equal ids readers keep one."""
    frames = [scalars_frame([1.0], row_id=(7, 1))]
    other_shape = dataclasses.replace(SCALARS, is_static=True)
    variants = [
        build_chunks([one_slot(frames)], nonce=NONCE),
        build_chunks([one_slot(frames)], nonce=b"another segment."),
        build_chunks([one_slot(frames, slot=1)], nonce=NONCE),
        build_chunks([one_slot(frames, epoch=1)], nonce=NONCE),
        build_chunks([one_slot(frames, start=8)], nonce=NONCE),
        build_chunks([one_slot(frames, stop=72)], nonce=NONCE),
        build_chunks([one_slot([scalars_frame([1.0], row_id=(7, 1), entity_path="/b")])], nonce=NONCE),
        build_chunks([one_slot([scalars_frame([1.0], row_id=(7, 1), shape=other_shape)])], nonce=NONCE),
    ]
    ids = [chunk.chunk_id for built in variants for chunk in built.chunks]
    assert len(set(ids)) == len(variants)


def test_rows_of_many_producers_share_a_chunk() -> None:
    taken = [one_slot([scalars_frame([float(n)], row_id=(100 - n, n))], slot=n) for n in range(64)]
    (chunk,) = build_chunks(taken, nonce=NONCE).chunks
    assert row_ids(chunk.batch) == [(100 - n, n) for n in reversed(range(64))]
    assert chunk.batch.column("step").to_pylist() == list(reversed(range(64)))


def test_a_group_beyond_the_bound_of_bytes_is_split_between_frames() -> None:
    first = scalars_frame([1.0] * 1000, row_id=(0, 0))
    fitting = MAX_CHUNK_BYTES // len(first.body)
    frames = [first, *(scalars_frame([1.0] * 1000, row_id=(n, 0)) for n in range(1, 2 * fitting + 1))]
    built = build_chunks([one_slot(frames)], nonce=NONCE)
    assert [chunk.num_rows for chunk in built.chunks] == [1000 * fitting, 1000 * fitting, 1000]


def test_a_group_beyond_the_bound_of_rows_is_split_between_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MAX_CHUNK_ROWS", 300)
    frames = [scalars_frame([1.0] * 100, row_id=(n, 0)) for n in range(7)]
    built = build_chunks([one_slot(frames)], nonce=NONCE)
    assert [chunk.num_rows for chunk in built.chunks] == [300, 300, 100]


def test_frames_whose_row_ids_interleave_do_not_share_a_chunk() -> None:
    frames = [scalars_frame([1.0, 3.0], row_id=(7, 0)), scalars_frame([2.0], row_id=(7, 1))]
    built = build_chunks([one_slot(frames)], nonce=NONCE)
    assert [row_ids(chunk.batch) for chunk in built.chunks] == [[(7, 0), (7, 1)], [(7, 1)]]


def test_a_damaged_frame_costs_its_own_rows_and_is_counted() -> None:
    good = scalars_frame([1.0], row_id=(7, 0))
    torn = dataclasses.replace(good, body=good.body[:-8], rows=1)
    overflowing = scalars_frame([1.0, 2.0], row_id=(7, 2**64 - 1))
    boundless = dataclasses.replace(good, rows=2**32 - 1)
    nowhere = dataclasses.replace(good, entity_path="")
    taken = [one_slot([torn, good, boundless]), one_slot([overflowing, nowhere], slot=3)]
    built = build_chunks(taken, nonce=NONCE)
    assert rows_in(built) == Counter({(RECORDING, "/entity", (7, 0), 1.0): 1})
    assert built.good_rows == {0: 1}
    assert built.damaged_rows == {0: 1 + 2**32 - 1, 3: 3}


def test_dictionaries_stay_with_their_own_frame() -> None:
    frames = []
    for n, words in enumerate((["a", "b"], ["c", "a"])):
        array = pa.array([words], pa.list_(pa.dictionary(pa.int8(), pa.string())))
        columns = (step([n]), column(array, "words"))
        frames.append(frame(shape_of(schema_of(*columns)), *columns, row_id=(n, 0), stream=True))
    built = build_chunks([one_slot(frames)], nonce=NONCE)
    assert [chunk.batch.column("words").to_pylist() for chunk in built.chunks] == [[["a", "b"]], [["c", "a"]]]


def test_rerun_takes_the_chunk_verbatim() -> None:
    taken = [one_slot([scalars_frame([1.0, 2.0], row_id=(7, 0)), scalars_frame([3.0], row_id=(9, 2**63))])]
    (built,) = build_chunks(taken, nonce=NONCE).chunks
    (chunk,) = Chunk.from_record_batch(built.batch)
    assert (chunk.id, chunk.entity_path, chunk.timeline_names) == (built.chunk_id, "/entity", ["step"])
    back = chunk.to_record_batch()
    assert row_ids(back) == row_ids(built.batch) == [(7, 0), (7, 1), (9, 2**63)]
    assert back.column("Scalars:scalars").to_pylist() == [[1.0], [2.0], [3.0]]
