"""The encoder makes of a call the batch that rerun writes into a file for the same call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as rr

from rerun_mp.encoding.encoder import EncodedRows, Encoder
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.timepoints import TimeKind, duration_nanos, sequence_number, timestamp_nanos
from tests.harness.rerun_names import RrdReader

KEY = RecordingKey("parity", "recording")


class Raw:
    """A component batch that a user wrote by hand."""

    def __init__(self, array: pa.Array, component: str = "x", **descriptor: Any) -> None:
        self._array = array
        self._descriptor = rr.ComponentDescriptor(component, **descriptor)

    def component_descriptor(self) -> rr.ComponentDescriptor:
        return self._descriptor

    def as_arrow_array(self) -> pa.Array:
        return self._array


def written_by_rerun(path: Path, log: Callable[[rr.RecordingStream], None]) -> pa.RecordBatch:
    """Return the batch that rerun writes, without row ids, chunk ids and the mark for sorted columns."""
    recording = rr.RecordingStream(KEY.application_id, recording_id=KEY.recording_id, send_properties=False)
    recording.set_log_time_enabled(False)
    recording.save(path)
    log(recording)
    recording.disconnect()
    (chunk,) = RrdReader(path).stream()
    batch = chunk.to_record_batch()
    kept = [i for i, field in enumerate(batch.schema) if field.metadata[b"rerun:kind"] != b"control"]
    fields = []
    for i in kept:
        field = batch.schema.field(i)
        fields.append(field.with_metadata({k: v for k, v in field.metadata.items() if k != b"rerun:is_sorted"}))
    return pa.RecordBatch.from_arrays([batch.column(i) for i in kept], schema=pa.schema(fields))


def decoded(encoded: EncodedRows) -> pa.RecordBatch:
    if encoded.stream:
        batch = pa.ipc.open_stream(encoded.body).read_next_batch()
    else:
        batch = pa.ipc.read_record_batch(encoded.body, pa.ipc.read_schema(pa.BufferReader(encoded.shape.schema)))
    assert batch.num_rows == encoded.rows
    return batch


def assert_same(ours: EncodedRows, theirs: pa.RecordBatch) -> None:
    batch = decoded(ours)
    batch.validate(full=True)
    assert pa.ipc.read_schema(pa.BufferReader(ours.shape.schema)).equals(theirs.schema, check_metadata=True)
    assert batch.schema.equals(theirs.schema, check_metadata=True)
    assert batch.equals(theirs)


GIVEN: dict[str, Any] = {
    "scalar": rr.Scalars(1.5),
    "text": rr.TextLog("hello", level="INFO"),
    "points": rr.Points3D(np.arange(30).reshape(10, 3), radii=[1, 2], colors=[0xFF, 0xFE], labels=["ä", ""]),
    "no points": rr.Points3D([]),
    "cleared points": rr.Points3D.cleared(),
    "image": rr.Image(np.zeros((4, 5, 3), np.uint8)),
    "tensor": rr.Tensor(np.zeros((2, 3, 4), np.float32)),
    "transform": rr.Transform3D(translation=[1, 2, 3], mat3x3=np.eye(3)),
    "mesh": rr.Mesh3D(vertex_positions=[[0, 0, 0], [1, 0, 0], [0, 1, 0]], triangle_indices=[[0, 1, 2]]),
    "annotations": rr.AnnotationContext([(1, "one"), (2, "two")]),
    "any values": rr.AnyValues(confidence=[1.0, 2.0], name="x"),
    "clear": rr.Clear(recursive=True),
    "nulls": [Raw(pa.array([1, None, 3]))],
    "dictionary": [Raw(pa.array(["a", "b", "a"]).dictionary_encode())],
    "dictionary inside": [Raw(pa.StructArray.from_arrays([pa.array(["a"]).dictionary_encode()], ["f"]))],
    "no type": [Raw(pa.nulls(2))],
    "lists": [Raw(pa.array([[1, 2], [3]]))],
    "slice": [Raw(pa.array([1, 2, 3, 4])[1:3])],
    "extension": [Raw(pa.array([b"0" * 16], pa.uuid()))],
    "decimal": [Raw(pa.array([1], pa.decimal128(5)))],
    "named like a timeline": [Raw(pa.array([1]), "frame")],
    "described": [Raw(pa.array([1]), "A:x", archetype="my.A", component_type="my.X")],
    "one component, two descriptors": [Raw(pa.array([1]), archetype="a"), Raw(pa.array([2, 3]), archetype="b")],
}


@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
def test_log_makes_the_row_that_rerun_writes(place: Path, given: Any, static: bool) -> None:
    def log(recording: rr.RecordingStream) -> None:
        recording.set_time("when", timestamp=1_700_000_000.25)
        recording.set_time("after", duration=1.5)
        recording.set_time("frame", sequence=7)
        recording.log("an/entity", given, static=static, strict=True)

    kinds = (("after", TimeKind.DURATION), ("frame", TimeKind.SEQUENCE), ("when", TimeKind.TIMESTAMP))
    times = (duration_nanos(1.5), sequence_number(7), timestamp_nanos(1_700_000_000.25))
    ours = Encoder(KEY).row(
        *Encoder.components(given), () if static else kinds, () if static else times, is_static=static
    )
    assert_same(ours, written_by_rerun(place / "theirs.rrd", log))


LISTS = pa.array([[1], [2, 3], None])
COLUMNS: dict[str, tuple[list[Any], list[Any]]] = {
    "scalars": ([rr.TimeColumn("t", sequence=[1, 2, 3])], [*rr.Scalars.columns(scalars=[1.0, 2.0, 3.0])]),
    "static": ([], [*rr.Scalars.columns(scalars=[1.0])]),
    "two timelines": (
        [rr.TimeColumn("z", duration=[1, 2.5]), rr.TimeColumn("a", timestamp=[1.0, 2.0])],
        [*rr.Points3D.columns(positions=np.zeros((4, 3)), radii=[1, 2, 3, 4]).partition([1, 3])],
    ),
    "one timeline twice": (
        [rr.TimeColumn("t", sequence=[1]), rr.TimeColumn("t", sequence=[4])],
        [*rr.Scalars.columns(scalars=[1.0])],
    ),
    "lists with nulls": ([rr.TimeColumn("t", sequence=[1, 2, 3])], [Raw(LISTS)]),
    "slice of lists": ([rr.TimeColumn("t", sequence=[1, 2])], [Raw(LISTS[1:])]),
    "no lists": ([rr.TimeColumn("t", sequence=[1, 2, 3])], [Raw(pa.array([1, 2, 3]))]),
    "large lists": ([rr.TimeColumn("t", sequence=[1, 2, 3])], [Raw(LISTS.cast(pa.large_list(pa.int64())))]),
    "lists of another name": (
        [rr.TimeColumn("t", sequence=[1, 2])],
        [Raw(pa.array([[1], [2]], pa.list_(pa.field("elem", pa.int64(), nullable=False))))],
    ),
    "dictionaries": (
        [rr.TimeColumn("t", sequence=[1, 2])],
        [Raw(pa.ListArray.from_arrays([0, 1, 3], pa.array(["a", "b", "a"]).dictionary_encode()))],
    ),
}


@pytest.mark.parametrize(("indexes", "columns"), COLUMNS.values(), ids=COLUMNS.keys())
def test_send_columns_makes_the_rows_that_rerun_writes(place: Path, indexes: list[Any], columns: list[Any]) -> None:
    ours = Encoder(KEY).columns(Encoder.indexes(indexes), *Encoder.components(columns))
    theirs = written_by_rerun(
        place / "theirs.rrd", lambda rec: rec.send_columns("an/entity", indexes, columns, strict=True)
    )
    assert_same(ours, theirs)
