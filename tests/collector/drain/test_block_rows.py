"""The collector makes of a row of blocks what the encoder would have made of it; it refuses damaged ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rerun_mp as rr
from rerun_mp.collector.drain.block_rows import decode_blocks
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.encoding.block_frames import pack_blocks
from rerun_mp.encoding.encoder import Encoder
from rerun_mp.encoding.frames import RowsFrame
from rerun_mp.encoding.timepoints import TimeKind
from rerun_mp.errors import CorruptionError
from tests.collector.made_frames import NONCE, RECORDING, draw_damaged

TIMELINES = (("frame", TimeKind.SEQUENCE), ("log_time", TimeKind.TIMESTAMP), ("since", TimeKind.DURATION))
TIMES = [-3, 1_700_000_000_000_000_000, 5]
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
ROWS: dict[str, Callable[[], Any]] = {
    "image": lambda: rr.Image(PIXELS),
    "depths": lambda: rr.DepthImage(np.ones((3, 5), np.float32), meter=1000.0),
    "tensor": lambda: rr.Tensor(PIXELS.astype(np.int16), dim_names=("y", "x", "c")),
    "encoded": lambda: rr.EncodedImage(contents=b"\xff\xd8\xff", media_type="image/jpeg"),
    "points": lambda: rr.Points3D([[1.0, 2.0, 3.0]], colors=[255, 0, 0], labels=["a", "bc"]),
    "scalars": lambda: rr.Scalars(0.5),
    "text": lambda: rr.TextLog("grüße", level="INFO"),
}


def frame_of(archetype: Any, *, static: bool = False) -> RowsFrame:
    layout, blocks = archetype._as_columns()
    timelines, times = ((), []) if static else (TIMELINES, TIMES)
    row = pack_blocks(RECORDING, layout.components, blocks, timelines, times, is_static=static)
    body = memoryview(b"".join(map(bytes, row.pieces)))
    return RowsFrame(row.kind, row.shape, "/entity", row.rows, 7, 1, body)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("static", [False, True])
def test_the_batch_equals_the_encoders(name: str, static: bool) -> None:
    batch = decode_blocks(frame_of(ROWS[name](), static=static))
    timelines, times = ((), []) if static else (TIMELINES, TIMES)
    descriptors, arrays = Encoder.components(ROWS[name]())
    encoded = Encoder(RECORDING).row(descriptors, arrays, timelines, times, is_static=static)
    schema: Any = pa.ipc.read_schema(pa.py_buffer(encoded.shape.schema))
    expected = pa.ipc.read_record_batch(pa.py_buffer(encoded.body), schema)
    assert batch.schema.equals(expected.schema, check_metadata=True)
    assert batch.equals(expected)


@settings(max_examples=200)
@given(data=st.data(), name=st.sampled_from(sorted(ROWS)))
def test_damaged_bytes_are_refused_or_still_form_a_valid_row(data: st.DataObject, name: str) -> None:
    whole = frame_of(ROWS[name]())
    body = draw_damaged(data, whole.body)
    try:
        batch = decode_blocks(dataclasses.replace(whole, body=memoryview(body)))
    except CorruptionError:
        return
    batch.validate(full=True)
    assert batch.num_rows == 1


def test_a_damaged_row_counts_and_spares_its_neighbours() -> None:
    good = frame_of(rr.Scalars(0.5))
    cut = dataclasses.replace(good, body=good.body[:-8], row_counter=2)
    two = dataclasses.replace(good, rows=2, row_counter=3)
    built = build_chunks([TakenFrames(4, 0, 0, 99, [good, cut, two])], nonce=NONCE)
    assert built.good_rows[4] == 1
    assert built.damaged_rows[4] == 3
    (chunk,) = built.chunks
    assert chunk.batch.num_rows == 1
