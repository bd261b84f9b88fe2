"""A row that is written after a remembered header equals Arrow's message, byte for byte."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rerun import ComponentDescriptor

from rerun_mp.encoding import messages
from rerun_mp.encoding.encoder import Encoder
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.timepoints import TimeKind

FRAME = (("frame", TimeKind.SEQUENCE), ("time", TimeKind.TIMESTAMP))
DESCRIPTORS = [ComponentDescriptor("x"), ComponentDescriptor("y")]

VALUES: dict[str, st.SearchStrategy[pa.Array]] = {
    "float64": st.lists(st.floats(allow_nan=False)).map(lambda values: pa.array(values, pa.float64())),
    "uint8": st.lists(st.integers(0, 255)).map(lambda values: pa.array(values, pa.uint8())),
    "nulls": st.lists(st.none() | st.integers(0, 9)).map(lambda values: pa.array(values, pa.int32())),
    "text": st.lists(st.text(max_size=9)).map(lambda values: pa.array(values, pa.string())),
    "bool": st.lists(st.booleans()).map(lambda values: pa.array(values, pa.bool_())),
    "lists": st.lists(st.lists(st.integers(0, 9))).map(lambda values: pa.array(values, pa.list_(pa.uint16()))),
    "lists with nulls": st.lists(st.lists(st.none() | st.integers(0, 9))).map(
        lambda values: pa.array(values, pa.list_(pa.uint16()))
    ),
    "points": st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 3)).map(
        lambda values: pa.array(values, pa.list_(pa.field("item", pa.float32(), nullable=False), 3))
    ),
}
ARRAYS = st.sampled_from(sorted(VALUES)).flatmap(VALUES.__getitem__)


@given(st.lists(ARRAYS, min_size=2, max_size=2), st.integers(-(2**62), 2**62), st.integers(0, 3))
def test_a_row_reads_back_as_given_whatever_headers_are_remembered(arrays: list[Any], time: int, cut: int) -> None:
    encoder = Encoder(RecordingKey("app", "recording"))
    arrays[1] = arrays[1][cut:]
    for step in range(3):
        encoded = encoder.row(DESCRIPTORS, arrays, FRAME, (step, time), is_static=False)
        schema = pa.ipc.read_schema(pa.BufferReader(encoded.shape.schema))
        batch = pa.ipc.read_record_batch(encoded.body, schema)
        batch.validate(full=True)
        assert [batch.column(0)[0].as_py(), batch.column(1)[0].value] == [step, time]
        assert batch.column(2)[0].values.equals(arrays[0])
        assert batch.column(3)[0].values.equals(arrays[1])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1.5, 2.5]),
        pa.array(["some", "text"]),
        pa.array([list(range(100))], pa.list_(pa.uint8())),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(30, np.float32)), 3),
    ],
    ids=str,
)
def test_common_arrays_are_written_after_a_remembered_header_as_arrow_writes_them(array: pa.Array) -> None:
    encoder = Encoder(RecordingKey("app", "recording"))
    first = encoder.row(DESCRIPTORS[:1], [array], FRAME, (1, 2), is_static=False).body
    second = encoder.row(DESCRIPTORS[:1], [array], FRAME, (1, 2), is_static=False).body
    assert isinstance(first, pa.Buffer)
    assert isinstance(second, bytes)
    assert bytes(first) == second


def test_the_memory_of_headers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_HEADERS", 4)
    template = messages.RowTemplate(0, [pa.int64()])
    encoder = Encoder(RecordingKey("app", "recording"))
    for length in range(1, 20):
        array = pa.array(range(length))
        by_arrow = partial(encoder.row, DESCRIPTORS[:1], [array], (), (), is_static=True)
        template.write((), [array], lambda row=by_arrow: pa.py_buffer(row().body))  # type: ignore[misc]
    assert 0 < len(template._headers) <= 4
