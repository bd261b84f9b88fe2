"""The encoder reuses schemas, refuses bad columns by name, and has bounded memory. Values: see tests/parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as rr

import rerun_mp
from rerun_mp.encoding import encoder as encoder_module
from rerun_mp.encoding.encoder import Encoder
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.timepoints import TimeKind
from rerun_mp.errors import InvalidArgumentError

KEY = RecordingKey("app", "recording")
FRAME = (("frame", TimeKind.SEQUENCE),)


class Times:
    """A time column that a user wrote by hand."""

    def __init__(self, name: Any, array: pa.Array) -> None:
        self._name, self._array = name, array

    def timeline_name(self) -> Any:
        return self._name

    def as_arrow_array(self) -> pa.Array:
        return self._array


def scalars(value: float = 1.0) -> tuple[list[Any], list[pa.Array]]:
    return Encoder.components(rr.Scalars(value).as_component_batches())


def test_calls_of_one_kind_share_one_shape_object() -> None:
    encoder = Encoder(KEY)
    first = encoder.row(*scalars(), FRAME, (1,), is_static=False)
    second = encoder.row(*scalars(2.0), FRAME, (2,), is_static=False)
    assert first.shape is second.shape
    assert bytes(first.body) != bytes(second.body)


def test_other_types_timelines_or_static_rows_have_another_shape() -> None:
    encoder = Encoder(KEY)
    descriptors, arrays = scalars()
    shapes = {
        encoder.row(descriptors, arrays, FRAME, (1,), is_static=False).shape,
        encoder.row(descriptors, arrays, (("frame", TimeKind.DURATION),), (1,), is_static=False).shape,
        encoder.row(descriptors, arrays, (), (), is_static=True).shape,
        encoder.row(descriptors, arrays, (), (), is_static=False).shape,
        encoder.row(descriptors, [arrays[0].cast(pa.float32())], FRAME, (1,), is_static=False).shape,
    }
    assert len(shapes) == 5


def test_the_first_of_equal_components_is_kept_and_the_others_are_reported() -> None:
    descriptors, arrays = scalars()
    encoded = Encoder(KEY).row(descriptors * 2, [*arrays, *scalars(9.0)[1]], (), (), is_static=True)
    batch = pa.ipc.read_record_batch(encoded.body, pa.ipc.read_schema(pa.BufferReader(encoded.shape.schema)))
    assert batch.to_pydict() == {"Scalars:scalars": [[1.0]]}
    assert encoded.duplicates == (descriptors[0],)


def test_the_memory_of_schemas_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "MAX_SCHEMAS", 8)
    encoder = Encoder(KEY)
    array = pa.array([1])
    for i in range(50):
        encoder.row([rr.ComponentDescriptor(f"c{i}")], [array], (), (), is_static=True)
    for i in range(50):
        wide = pa.array([[1] * (i + 1)], pa.list_(pa.int64(), i + 1))
        encoder.row([rr.ComponentDescriptor("c")], [wide], (), (), is_static=True)
    assert len(encoder._schemas) <= 8
    assert all(len(known) <= 16 for known in encoder._schemas.values())


@pytest.mark.parametrize("bad", [[1, 2], pa.chunked_array([[1]]), "text"])
def test_a_component_that_is_no_arrow_array_is_refused_with_its_type(bad: object) -> None:
    class Batch:
        def component_descriptor(self) -> rr.ComponentDescriptor:
            return rr.ComponentDescriptor("x")

        def as_arrow_array(self) -> object:
            return bad

    with pytest.raises(TypeError, match=r"Expected instance of pyarrow.lib.Array, got .*\."):
        Encoder.components([Batch()])


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1], pa.int32()),
        pa.array([1.0]),
        pa.array([1], pa.timestamp("us")),
        pa.array([1], pa.duration("s")),
        pa.array([1, None]),
    ],
)
def test_times_that_rerun_refuses_are_refused_with_the_timelines_name(array: pa.Array) -> None:
    with pytest.raises(InvalidArgumentError, match="'my timeline'"):
        Encoder.indexes([Times("my timeline", array)])


def test_times_lose_their_time_zone_as_in_rerun() -> None:
    (array,) = Encoder.indexes([Times("t", pa.array([5], pa.timestamp("ns", "Europe/Zurich")))]).values()
    assert array.equals(pa.array([5], pa.timestamp("ns")))


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_an_invalid_timeline_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="TimelineName"):
        Encoder.indexes([Times(name, pa.array([1]))])


def test_timelines_without_components_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'t'"):
        Encoder(KEY).columns({"t": pa.array([1])}, [], [])


def test_a_small_blob_that_no_table_takes_has_a_template_of_the_same_bytes() -> None:
    encoder = Encoder(KEY)
    numbers = np.zeros((6, 10), np.float16)  # zeros occur in a message in many places
    encoder.blob(rerun_mp.Tensor(numbers), FRAME, (1,), is_static=False)
    numbers = numbers + 1
    tensor = rerun_mp.Tensor(numbers, dim_names=None)
    from_template = encoder.blob(tensor, FRAME, (2,), is_static=False)
    anew = Encoder(KEY).blob(tensor, FRAME, (2,), is_static=False)
    assert (len(from_template.pieces), len(anew.pieces)) == (3, 1)
    assert b"".join(map(bytes, from_template.pieces)) == bytes(anew.body)
