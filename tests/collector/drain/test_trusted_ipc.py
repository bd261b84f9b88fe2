"""Rows from shared memory are decoded only if they are what they claim to be, and bounded by the size of a frame."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerun_mp.collector.drain.trusted_ipc import decode_frame
from rerun_mp.collector.drain.trusted_schema import trust_schema
from rerun_mp.encoding.frames import RowsFrame
from rerun_mp.errors import CorruptionError
from tests.collector.made_frames import (
    TYPES,
    column,
    draw_damaged,
    frame,
    frame_of,
    scalars_frame,
    schema_of,
    shape_of,
    step,
)


def with_body(whole: RowsFrame, body: bytes) -> RowsFrame:
    return dataclasses.replace(whole, body=memoryview(body))


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=str)
def test_rows_of_producers_are_decoded(kind: Any, values: list[Any]) -> None:
    whole = frame_of(kind, values)
    batch = decode_frame(whole, trust_schema(whole.shape.schema))
    assert batch.column("c").to_pylist() == [values, values]
    assert batch.column("step").to_pylist() == [1, 2]


@settings(max_examples=300)
@given(data=st.data(), seed=st.sampled_from(TYPES))
def test_damaged_bytes_are_refused_or_still_form_valid_rows(data: st.DataObject, seed: tuple[Any, list[Any]]) -> None:
    whole = frame_of(*seed)
    body = draw_damaged(data, whole.body)
    try:
        batch = decode_frame(with_body(whole, bytes(body)), trust_schema(whole.shape.schema))
    except CorruptionError:
        return
    batch.validate(full=True)
    assert batch.num_rows == 2
    assert batch.get_total_buffer_size() <= len(body)


@pytest.mark.parametrize("cut", [0, 4, 8, 40, -8, -1])
def test_a_message_cut_off_is_refused(cut: int) -> None:
    whole = scalars_frame([1.0, 2.0], row_id=(7, 1))
    with pytest.raises(CorruptionError):
        decode_frame(with_body(whole, bytes(whole.body[:cut])), trust_schema(whole.shape.schema))


def test_compressed_batches_are_refused_because_they_name_their_own_size() -> None:
    columns = (step([1]), column(pa.array([[0.0] * 100_000], pa.list_(pa.float64()))))
    whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1))
    batch: Any = pa.record_batch([array for _, array in columns], schema=schema_of(*columns))
    small = _compressed(batch)
    assert len(small) < len(whole.body) // 50
    with pytest.raises(CorruptionError, match="compressed"):
        decode_frame(with_body(whole, small), trust_schema(whole.shape.schema))


def _compressed(batch: Any) -> bytes:
    sink: Any = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    stream = sink.getvalue().to_pybytes()
    start = len(batch.schema.serialize())
    return bytes(stream[start:])


def test_elements_without_width_cannot_be_more_than_the_frame_has_bits() -> None:
    columns = (column(pa.array([[None] * 1_000_000], pa.list_(pa.null())), "c"),)
    whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1))
    with pytest.raises(CorruptionError, match="1000000 elements"):
        decode_frame(whole, trust_schema(whole.shape.schema))


def test_the_number_of_rows_must_be_the_frames() -> None:
    whole = scalars_frame([1.0, 2.0], row_id=(7, 1))
    with pytest.raises(CorruptionError, match="2 rows instead of 3"):
        decode_frame(dataclasses.replace(whole, rows=3), trust_schema(whole.shape.schema))


def test_a_timeline_without_a_value_in_every_row_is_refused() -> None:
    field, _ = step([1, 2])
    columns = ((field, pa.array([1, None], pa.int64())), column(pa.array([[1.0], [2.0]])))
    whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1))
    with pytest.raises(CorruptionError, match="gaps"):
        decode_frame(whole, trust_schema(whole.shape.schema))


def test_a_null_where_none_may_be_is_refused() -> None:
    """rerun-sdk writes it, and then cannot read the whole file."""
    kind: Any = pa.list_(pa.struct([pa.field("a", pa.int8(), nullable=False)]))
    fine: Any = pa.array([[{"a": 1}, {"a": 2}]], kind)
    missing: Any = pa.StructArray.from_arrays([pa.array([1, None], pa.int8())], fields=[kind.value_type.field(0)])
    offsets = pa.py_buffer(struct.pack("<2i", 0, 2))
    wrong: Any = pa.Array.from_buffers(kind, 1, [None, offsets], children=[missing])
    for array, is_fine in ((fine, True), (wrong, False)):
        columns = (step([1]), column(array, "c"))
        whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1))
        if is_fine:
            decode_frame(whole, trust_schema(whole.shape.schema))
        else:
            with pytest.raises(CorruptionError, match="null"):
                decode_frame(whole, trust_schema(whole.shape.schema))


@pytest.mark.parametrize("stream", [False, True])
def test_a_frame_that_holds_more_than_its_rows_is_refused(stream: bool) -> None:
    """A forged length makes a frame swallow the frame behind it."""
    columns = (step([1]), column(pa.array([[1.0]], pa.list_(pa.float64())), "c"))
    whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1), stream=stream)
    trusted = trust_schema(whole.shape.schema)
    assert decode_frame(whole, trusted).num_rows == 1
    with pytest.raises(CorruptionError):
        decode_frame(with_body(whole, bytes(whole.body) + bytes(64)), trusted)
