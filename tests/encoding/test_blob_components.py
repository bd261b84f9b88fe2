"""The message of a blob archetype equals rerun's, byte for byte, and points at the user's memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st

import rerun_mp as rr
from rerun_mp.encoding import blob_components as blobs
from rerun_mp.encoding import encoder as encoder_module
from rerun_mp.encoding.blob_components import is_blob
from rerun_mp.encoding.encoder import Encoder
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.timepoints import TimeKind

KEY = RecordingKey("app", "recording")
FRAME = (("frame", TimeKind.SEQUENCE), ("log_time", TimeKind.TIMESTAMP))


def media(package: Any, array: Any) -> Any:
    return package.EncodedImage(contents=array.tobytes(), media_type="image/png")


MAKERS: dict[str, Any] = {
    "Image": lambda package, array: package.Image(array),
    "Image BGR": lambda package, array: package.Image(array, "BGR"),
    "DepthImage": lambda package, array: package.DepthImage(array[..., 0].astype(np.uint16), meter=1000.0),
    "SegmentationImage": lambda package, array: package.SegmentationImage(array[..., 1]),
    "EncodedImage": media,
    "Tensor": lambda package, array: package.Tensor(array, dim_names=["y", "x", "c"]),
    "Tensor of halves": lambda package, array: package.Tensor(array.astype(np.float16)),
}


@given(st.sampled_from(sorted(MAKERS)), st.integers(2, 90), st.integers(2, 90), st.booleans())
def test_messages_equal_those_of_reruns_archetypes(name: str, height: int, width: int, is_static: bool) -> None:
    """For small and large blobs, the first of a format and later ones, static or not."""
    encoder, reference = Encoder(KEY), Encoder(KEY)
    timelines = () if is_static else FRAME
    for step in range(3):
        array = np.random.default_rng(step).integers(0, 256, (height, width, 3), np.uint8)
        times = () if is_static else (step, 10**18 + step)
        made = MAKERS[name](rr, array)
        assert is_blob(made)
        encoded = encoder.blob(made, timelines, times, is_static=is_static)
        assert is_blob(made), "encoding an archetype must not materialise it"
        batches = MAKERS[name](theirs, array).as_component_batches()
        expected = reference.row(*Encoder.components(batches), timelines, times, is_static=is_static)
        assert encoded.shape == expected.shape
        assert bytes(encoded.body) == bytes(expected.body)


@pytest.mark.parametrize("name", ["Image", "DepthImage", "SegmentationImage", "Tensor", "Tensor of halves"])
def test_a_large_message_points_at_the_users_memory(name: str) -> None:
    encoder = Encoder(KEY)
    array = np.zeros((200, 300, 3), np.uint8)
    for step in range(2):
        made = MAKERS[name](rr, array)
        pieces = encoder.blob(made, FRAME, (step, 1), is_static=False).pieces
        large = [np.frombuffer(piece, np.uint8) for piece in pieces if memoryview(piece).nbytes >= 60_000]
        assert len(large) == 1
        assert np.shares_memory(large[0], np.frombuffer(made._buffer, np.uint8))


def test_a_blob_beside_other_archetypes_has_reruns_components() -> None:
    array = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)
    ours = Encoder.components(rr.Image(array), rr.TextLog("seen"))
    reference = Encoder.components(theirs.Image(array), theirs.TextLog("seen"))
    assert ours[0] == reference[0]
    assert all(mine.equals(its) for mine, its in zip(ours[1], reference[1], strict=True))


def test_both_caches_are_bounded_and_hold_no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "MAX_FORMATS", 4)
    monkeypatch.setattr(encoder_module, "MAX_BLOB_TEMPLATES", 4)
    encoder = Encoder(KEY)
    for width in range(100, 120):
        encoder.blob(rr.Image(np.zeros((100, width, 3), np.uint8)), (), (), is_static=True)
    assert 0 < len(encoder._blob_templates) <= 4
    assert 0 < len(blobs._formats) <= 4
    assert all(sum(array.nbytes for array in known.arrays) < 1000 for known in blobs._formats.values())
    assert all(len(known.between) + len(known.after) < 4096 for known in encoder._blob_templates.values())


def test_a_large_array_of_any_archetype_is_a_piece_of_its_own() -> None:
    """So a mesh or a colored cloud is copied only once, too."""
    positions = np.random.default_rng(0).random((5000, 3), np.float32)
    encoder = Encoder(KEY)
    descriptors, arrays = Encoder.components(theirs.Points3D(positions, colors=[255, 0, 0]).as_component_batches())
    encoded = encoder.row(descriptors, arrays, FRAME, (1, 2), is_static=False)
    own = [piece for piece in encoded.pieces if len(piece) >= positions.nbytes]
    assert len(own) == 1
    batch = pa.ipc.read_record_batch(encoded.body, pa.ipc.read_schema(pa.BufferReader(encoded.shape.schema)))
    batch.validate(full=True)
    (found,) = batch.column("Points3D:positions").to_pylist()
    assert np.array_equal(np.array(found, np.float32), positions)
