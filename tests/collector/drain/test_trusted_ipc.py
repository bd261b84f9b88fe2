"""What was read from shared memory is decoded only if it is what it claims to be, and never larger than it looks."""

from __future__ import annotations

import dataclasses
import struct
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerun_mp.collector.drain.trusted_ipc import decode_frame, trust_schema
from rerun_mp.encoding.frames import RowsFrame
from rerun_mp.errors import CorruptionError
from tests.collector.made_frames import column, frame, scalars_frame, schema_of, shape_of, step

TYPES: list[tuple[Any, list[Any]]] = [
    (pa.float64(), [1.0, 2.0]),
    (pa.string(), ["a", "bb"]),
    (pa.bool_(), [True, False]),
    (pa.list_(pa.float32(), 3), [[1, 2, 3], [4, 5, 6]]),
    (pa.list_(pa.uint8()), [[1, 2], [3]]),
    (pa.struct([("a", pa.int8()), ("b", pa.string())]), [{"a": 1, "b": "x"}]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", "b", "a"]),
    (pa.null(), [None, None]),
]


def frame_of(kind: Any, values: list[Any]) -> RowsFrame:
    array: Any = pa.array([values, values], pa.list_(kind))
    columns = (step([1, 2]), column(array, "c"))
    return frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1), stream=pa.types.is_dictionary(kind))


def with_body(whole: RowsFrame, body: bytes) -> RowsFrame:
    return dataclasses.replace(whole, body=memoryview(body))


@pytest.mark.parametrize(("kind", "values"), TYPES, ids=str)
def test_what_producers_write_is_read_back(kind: Any, values: list[Any]) -> None:
    whole = frame_of(kind, values)
    batch = decode_frame(whole, trust_schema(whole.shape.schema))
    assert batch.column("c").to_pylist() == [values, values]
    assert batch.column("step").to_pylist() == [1, 2]


def test_types_without_a_class_in_pyarrow_are_refused() -> None:
    """Found by the fuzzer: of intervals of two units pyarrow makes arrays that raise a KeyError."""
    schema = frame_of(pa.month_day_nano_interval(), [(1, 2, 3)]).shape.schema
    refused = set()
    for at in range(len(schema)):
        for unit in (0, 1):
            damaged = schema[:at] + bytes([unit]) + schema[at + 1 :]
            try:
                trust_schema(damaged)
            except CorruptionError as error:
                refused |= {name for name in ("month_interval", "day_time_interval") if name in str(error)}
    assert refused == {"month_interval", "day_time_interval"}


@settings(max_examples=300)
@given(data=st.data(), seed=st.sampled_from(TYPES))
def test_damaged_bytes_are_refused_or_still_form_valid_rows(data: st.DataObject, seed: tuple[Any, list[Any]]) -> None:
    whole = frame_of(*seed)
    body = bytearray(whole.body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 8))
        value = data.draw(st.sampled_from([-1, 0, 1, 2**31 - 1, 2**62, -(2**62)]) | st.integers(-(2**63), 2**63 - 1))
        struct.pack_into("<q", body, at, value)
    try:
        batch = decode_frame(with_body(whole, bytes(body)), trust_schema(whole.shape.schema))
    except CorruptionError:
        return
    batch.validate(full=True)
    assert batch.num_rows == 2
    assert batch.get_total_buffer_size() <= len(body)


@settings(max_examples=200)
@given(data=st.data(), seed=st.sampled_from(TYPES))
def test_damaged_schemas_are_refused_or_still_fit_rerun(data: st.DataObject, seed: tuple[Any, list[Any]]) -> None:
    schema = bytearray(frame_of(*seed).shape.schema)
    for _ in range(data.draw(st.integers(1, 3))):
        schema[data.draw(st.integers(0, len(schema) - 1))] = data.draw(st.integers(0, 255))
    try:
        trusted = trust_schema(bytes(schema))
    except CorruptionError:
        return
    assert all(pa.types.is_list(field.type) for i, field in enumerate(trusted.schema) if i not in trusted.index_columns)


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


def deep(levels: int) -> Any:
    kind: Any = pa.float64()
    for _ in range(levels):
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize(
    "field",
    [
        pa.field("c", pa.float64()),
        pa.field("c", pa.list_(pa.string_view())),
        pa.field("c", pa.list_(pa.map_(pa.int8(), pa.int8()))),
        pa.field("c", deep(40)),
        pa.field("rerun.controls.RowId", pa.list_(pa.int8())),
        pa.field("step", pa.int32(), metadata={"rerun:kind": "index"}),
        pa.field("c", pa.list_(pa.int8()), metadata={b"rerun:component": b"\xff"}),
    ],
    ids=lambda field: str(field.type)[:40],
)
def test_schemas_that_rerun_cannot_take_are_refused(field: Any) -> None:
    with pytest.raises(CorruptionError):
        trust_schema(pa.schema([field]).serialize().to_pybytes())


def test_two_columns_of_one_name_are_refused() -> None:
    twice: Any = pa.schema([pa.field("c", pa.list_(pa.int8()))] * 2)
    with pytest.raises(CorruptionError, match="names its columns"):
        trust_schema(twice.serialize().to_pybytes())


def test_a_component_may_have_the_name_of_a_timeline() -> None:
    """As in `set_time("step", ...)` and `AnyValues(step=...)`."""
    schema = schema_of(step([1]), column(pa.array([[1]]), step([1])[0].name))
    assert trust_schema(schema.serialize().to_pybytes()).index_columns == (0,)


@pytest.mark.parametrize("junk", [b"\xff", b"\0"])
def test_a_field_whose_name_rerun_would_die_of_is_refused(junk: bytes) -> None:
    """A name that is not UTF-8 aborts a process in rerun-sdk, with no exception; behind a zero it reads nothing."""
    array: Any = pa.array([[{"zzzz": 1}]], pa.list_(pa.struct([("zzzz", pa.int8())])))
    schema = schema_of(step([1]), column(array, "c")).serialize().to_pybytes()
    assert schema.count(b"zzzz\0") == 1
    trust_schema(schema)
    with pytest.raises(CorruptionError):
        trust_schema(schema.replace(b"zzzz\0", b"zz" + junk + b"z\0"))


def test_a_null_where_none_may_be_is_refused() -> None:
    """rerun-sdk writes it, and then no reader opens the file any more, whatever else is in it."""
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
    """Its length was forged, and it has swallowed the frame behind it."""
    columns = (step([1]), column(pa.array([[1.0]], pa.list_(pa.float64())), "c"))
    whole = frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1), stream=stream)
    trusted = trust_schema(whole.shape.schema)
    assert decode_frame(whole, trusted).num_rows == 1
    with pytest.raises(CorruptionError):
        decode_frame(with_body(whole, bytes(whole.body) + bytes(64)), trusted)
