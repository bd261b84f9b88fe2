"""A call's schema: the order of its columns, their metadata, and the kinds of its times. Values: see tests/parity."""

from __future__ import annotations

import pyarrow as pa
import pytest
from rerun import ComponentDescriptor

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.schemas import TIME_TYPES, CallSchema, call_schema, checked_times, time_kind
from rerun_mp.encoding.timepoints import TimeKind
from rerun_mp.errors import InvalidArgumentError

KEY = RecordingKey("app", "recording")
TIMELINES = (("a time", TimeKind.DURATION), ("frame", TimeKind.SEQUENCE))
POSITIONS = ComponentDescriptor("Points3D:positions", archetype="Points3D", component_type="Position3D")
COLORS = ComponentDescriptor("Points3D:colors", archetype="Points3D", component_type="Color")


def schema_of(*columns: tuple[ComponentDescriptor, pa.DataType], is_row: bool = True) -> CallSchema:
    descriptors, types = zip(*columns, strict=True)
    return call_schema(KEY, descriptors, list(types), TIMELINES, is_static=False, is_row=is_row)


def test_timelines_come_first_then_components_both_by_name() -> None:
    call = schema_of((POSITIONS, pa.float32()), (COLORS, pa.uint32()))
    assert call.schema.names == ["a time", "frame", "Points3D:colors", "Points3D:positions"]
    assert call.columns == ((1, pa.list_(pa.uint32())), (0, pa.list_(pa.float32())))
    assert pa.ipc.read_schema(pa.BufferReader(call.shape.schema)).equals(call.schema, check_metadata=True)


def test_fields_say_what_they_hold() -> None:
    fields = schema_of((POSITIONS, pa.float32()), (ComponentDescriptor("x"), pa.int8())).schema
    assert fields.field("frame").metadata == {b"rerun:kind": b"index", b"rerun:index_name": b"frame"}
    assert fields.field("x").metadata == {b"rerun:kind": b"data", b"rerun:component": b"x"}
    assert fields.field("Points3D:positions").metadata == {
        b"rerun:kind": b"data",
        b"rerun:component": b"Points3D:positions",
        b"rerun:archetype": b"Points3D",
        b"rerun:component_type": b"Position3D",
    }


def test_arrays_of_lists_are_one_list_a_row_in_columns_and_instances_in_a_row() -> None:
    lists = pa.list_(pa.int8())
    assert schema_of((COLORS, lists)).columns == ((0, pa.list_(lists)),)
    assert schema_of((COLORS, lists), is_row=False).columns == ((0, lists),)


def test_the_first_of_equal_descriptors_counts_and_the_last_of_different_ones_of_a_component() -> None:
    other = ComponentDescriptor("Points3D:colors", archetype="Other")
    call = schema_of((COLORS, pa.int8()), (COLORS, pa.int16()), (POSITIONS, pa.int32()))
    assert call.columns[0] == (0, pa.list_(pa.int8()))
    assert call.duplicates == (COLORS,)
    call = schema_of((COLORS, pa.int8()), (other, pa.int16()))
    assert call.columns == ((1, pa.list_(pa.int16())),)
    assert call.duplicates == ()


@pytest.mark.parametrize(
    ("given", "is_stream"),
    [
        (pa.int8(), False),
        (pa.list_(pa.string()), False),
        (pa.uuid(), False),
        (pa.dictionary(pa.int8(), pa.string()), True),
        (pa.list_(pa.dictionary(pa.int8(), pa.string())), True),
        (pa.struct([("x", pa.int8()), ("y", pa.dictionary(pa.int8(), pa.string()))]), True),
    ],
)
def test_dictionaries_at_any_depth_need_a_stream(given: pa.DataType, is_stream: bool) -> None:
    assert schema_of((COLORS, given)).is_stream is is_stream


def test_each_time_type_has_its_kind() -> None:
    assert {time_kind("t", given): given for given in TIME_TYPES.values()} == TIME_TYPES
    zoned = checked_times([("t", pa.array([5], pa.timestamp("ns", "Europe/Zurich")))])["t"]
    assert zoned.equals(pa.array([5], pa.timestamp("ns")))


@pytest.mark.parametrize("given", [pa.int32(), pa.float64(), pa.timestamp("us"), pa.duration("s"), pa.string()])
def test_other_time_types_are_refused_by_the_timelines_name(given: pa.DataType) -> None:
    with pytest.raises(InvalidArgumentError, match="'my timeline' has times of type"):
        time_kind("my timeline", given)
