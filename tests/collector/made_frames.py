"""Frames as producers write them, for tests of the collector."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.encoding.frames import FrameKind, RecordingKey, RowsFrame, Shape

__all__ = [
    "MEGABYTE",
    "NONCE",
    "RECORDING",
    "SCALARS",
    "TYPES",
    "blob",
    "column",
    "draw_damaged",
    "frame",
    "frame_of",
    "row_ids",
    "scalars_frame",
    "schema_of",
    "shape_of",
    "step",
]

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
"""Types of a component's elements, each with values."""
RECORDING = RecordingKey("app", "recording")
NONCE = b"0123456789abcdef"
MEGABYTE = 1_000_000


def step(values: Sequence[int]) -> tuple[Any, Any]:
    """Return field and array of the timeline `step`."""
    metadata = {"rerun:kind": "index", "rerun:index_name": "step"}
    return pa.field("step", pa.int64(), metadata=metadata), pa.array(values, pa.int64())


def column(array: Any, component: str = "Scalars:scalars") -> tuple[Any, Any]:
    """Return field and array of a component."""
    metadata = {"rerun:kind": "data", "rerun:component": component}
    return pa.field(component, array.type, metadata=metadata), array


def schema_of(*columns: tuple[Any, Any]) -> Any:
    """Return the schema of what `step` and `column` made."""
    return pa.schema([field for field, _ in columns])


def shape_of(schema: Any, recording: RecordingKey = RECORDING, *, is_static: bool = False) -> Shape:
    """Return the shape that declares `schema`."""
    return Shape(recording, is_static, schema.serialize().to_pybytes())


def frame(
    shape: Shape, *columns: tuple[Any, Any], row_id: tuple[int, int], entity_path: str = "/entity", stream: bool = False
) -> RowsFrame:
    """Return the frame that holds `columns`, with row ids from `row_id` on."""
    batch: Any = pa.record_batch([array for _, array in columns], schema=schema_of(*columns))
    if stream:
        sink: Any = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        body = sink.getvalue()
    else:
        body = batch.serialize()
    kind = FrameKind.STREAM if stream else FrameKind.ROWS
    return RowsFrame(kind, shape, entity_path, batch.num_rows, *row_id, memoryview(body.to_pybytes()))


def _scalars(values: Sequence[float]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    offsets = pa.array(range(len(values) + 1), pa.int32())
    array: Any = pa.ListArray.from_arrays(offsets, pa.array(values, pa.float64()))
    return step([int(value) for value in values]), column(array)


SCALARS = shape_of(schema_of(*_scalars([])))


def scalars_frame(
    values: Sequence[float], *, row_id: tuple[int, int], entity_path: str = "/entity", shape: Shape = SCALARS
) -> RowsFrame:
    """Return a frame of scalars. The `step` of each is its integer part."""
    return frame(shape, *_scalars(values), row_id=row_id, entity_path=entity_path)


def blob(number: int) -> ChunkBatch:
    """Return a chunk of a megabyte that cannot be compressed."""
    data = np.random.default_rng(number).integers(0, 256, MEGABYTE, np.uint8)
    array: Any = pa.ListArray.from_arrays(pa.array([0, MEGABYTE], pa.int32()), pa.array(data))
    columns = (step([number]), column(array, "blob"))
    rows = frame(shape_of(schema_of(*columns)), *columns, row_id=(1000 + number, 0))
    (chunk,) = build_chunks([TakenFrames(0, 0, number, number + 1, [rows])], nonce=NONCE).chunks
    return chunk


def row_ids(batch: Any) -> list[tuple[int, int]]:
    """Return the row ids of a chunk as (time, counter)."""
    raw = batch.column("rerun.controls.RowId").to_pylist()
    return [(int.from_bytes(one[:8], "big"), int.from_bytes(one[8:], "big")) for one in raw]


def frame_of(kind: Any, values: list[Any]) -> RowsFrame:
    """Return a frame of two rows whose component `c` has these values, of this type."""
    array: Any = pa.array([values, values], pa.list_(kind))
    columns = (step([1, 2]), column(array, "c"))
    return frame(shape_of(schema_of(*columns)), *columns, row_id=(7, 1), stream=pa.types.is_dictionary(kind))


def draw_damaged(data: st.DataObject, body: memoryview) -> bytearray:
    """Return a copy of a frame's body in which up to three numbers of eight bytes are other ones."""
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 8))
        value = data.draw(st.sampled_from([-1, 0, 1, 2**31 - 1, 2**62, -(2**62)]) | st.integers(-(2**63), 2**63 - 1))
        struct.pack_into("<q", damaged, at, value)
    return damaged
