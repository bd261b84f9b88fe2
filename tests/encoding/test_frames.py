"""Frames are read back as they were packed, and damage ends the reading without losing the frames before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.encoding.frames import (
    ALIGNMENT,
    HEADER,
    FrameKind,
    RecordingKey,
    RowsFrame,
    Shape,
    large_file_prefix,
    pack_rows_head,
    pack_shape,
    unpack_frames,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SHAPES = st.builds(Shape, st.builds(RecordingKey, TEXTS, TEXTS), st.booleans(), st.binary(max_size=50))
WORDS = st.integers(0, 2**64 - 1)
ROWS = st.tuples(TEXTS, st.integers(0, 2**32 - 1), WORDS, WORDS, st.binary(max_size=100))
KINDS = st.sampled_from([FrameKind.ROWS, FrameKind.STREAM, FrameKind.FILE])

SHAPE = Shape(RecordingKey("app", "recording"), False, b"schema")


def packed_rows(shape_offset: int, body: bytes, kind: int = FrameKind.ROWS, path: bytes = b"/a") -> bytes:
    head, size = pack_rows_head(kind, shape_offset, 1, 2, 3, path, len(body))  # type: ignore[arg-type]
    return (head + body).ljust(size, b"\0")


@given(st.lists(st.tuples(SHAPES, st.lists(st.tuples(KINDS, ROWS), max_size=3)), max_size=3), st.integers(0, 64))
def test_frames_are_read_back(content: list[tuple[Shape, list[tuple[FrameKind, tuple[object, ...]]]]], at: int) -> None:
    base = at * ALIGNMENT
    data, expected, offsets = b"", [], {}
    for shape, frames in content:
        offset = base + len(data)
        offsets[offset] = shape
        data += pack_shape(shape)
        for kind, (path, rows, row_time, row_counter, body) in frames:
            head, size = pack_rows_head(kind, offset, rows, row_time, row_counter, path.encode(), len(body))  # type: ignore[arg-type, attr-defined]
            data += (head + body).ljust(size, b"\0")  # type: ignore[operator]
            assert len(data) % ALIGNMENT == 0
            expected.append((kind, shape, path, rows, row_time, row_counter, body))
    shapes: dict[int, Shape] = {}
    found, end, error = unpack_frames(memoryview(data), base, shapes)
    assert [fields(frame) for frame in found] == expected
    assert (end, error) == (base + len(data), None)
    assert shapes == offsets


def fields(frame: RowsFrame) -> tuple[object, ...]:
    return (
        frame.kind, frame.shape, frame.entity_path, frame.rows, frame.row_time, frame.row_counter, bytes(frame.body)
    )  # fmt: skip


def test_equal_shapes_of_several_slots_become_one_object() -> None:
    known: dict[bytes, Shape] = {}
    shapes: list[Shape] = []
    for _ in range(2):
        declared: dict[int, Shape] = {}
        unpack_frames(memoryview(pack_shape(SHAPE)), 0, declared, known=known)
        shapes += declared.values()
    assert shapes[0] is shapes[1]


@given(st.data())
def test_damage_ends_the_reading_at_the_frame_that_has_it(data: st.DataObject) -> None:
    shape = pack_shape(SHAPE)
    frames = [packed_rows(0, bytes([n]) * 20) for n in range(3)]
    whole = bytearray(shape + b"".join(frames))
    damaged = data.draw(st.integers(0, 2))
    begin = len(shape) + sum(map(len, frames[:damaged]))
    header = data.draw(
        st.sampled_from(
            [(0, FrameKind.ROWS, 0), (9, FrameKind.ROWS, 0), (1 << 20, FrameKind.ROWS, 0), (8, 99, 0), (8, 1, 9)]
        )
    )
    HEADER.pack_into(whole, begin, *header)
    found, end, error = unpack_frames(memoryview(whole), 0, {})
    assert [bytes(frame.body[:1])[0] for frame in found] == list(range(damaged))
    assert end == begin
    assert error is not None


@given(st.integers(1, 200))
def test_a_frame_that_is_cut_off_is_damage(size: int) -> None:
    whole = pack_shape(SHAPE) + packed_rows(0, bytes(60))
    found, end, error = unpack_frames(memoryview(whole[:size]), 0, {})
    is_between_frames = size in (len(pack_shape(SHAPE)), len(whole)) or size > len(whole)
    assert (error is None) == is_between_frames
    assert len(found) == (size >= len(whole))
    assert end <= size


def test_rows_that_name_no_shape_of_their_slot_are_damage() -> None:
    data = pack_shape(SHAPE) + packed_rows(8, b"body")
    _, end, error = unpack_frames(memoryview(data), 0, {})
    assert "refer to a shape at 8, where none was declared" in str(error)
    assert end == len(pack_shape(SHAPE))


def test_a_path_that_is_no_utf8_is_damage() -> None:
    _, _, error = unpack_frames(memoryview(pack_shape(SHAPE) + packed_rows(0, b"", path=b"\xff")), 0, {})
    assert "are damaged" in str(error)


def test_spool_files_of_two_producers_have_different_prefixes() -> None:
    assert len({large_file_prefix(producer, generation) for producer in (1, 11) for generation in (1, 11)}) == 4
