"""Archetypes made of bytes: whatever is given, Arrow data, warnings and errors are those of rerun's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rerun_mp as rr
from rerun_mp.fast.images import CHANNEL_DATATYPES, COLOR_MODELS
from tests.fast.outcomes import LAYOUTS, assert_same, components, laid_out

DTYPES = st.sampled_from([*CHANNEL_DATATYPES, ">u2", ">f4", "bool", "q", "complex64"]).map(np.dtype)
SHAPES = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)),
    hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
)
ARRAYS = st.builds(laid_out, st.builds(np.empty, SHAPES, DTYPES), st.sampled_from(LAYOUTS)) | st.builds(
    laid_out, DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), st.sampled_from(LAYOUTS)
)
GIVEN = ARRAYS | st.sampled_from([None, "no image", 3, [[1, 2], [3, 4]], b"bytes"])
NUMBERS = st.sampled_from([None, 1, 0.5, 0, -0.0, 1e300, float("nan"), True, np.float32(2), "no number", [1.0]])
MODELS = st.sampled_from([None, *COLOR_MODELS, "rgb", "Bgr", "yuv", "no model", *theirs.ColorModel, 1, [1]])
MEDIA_TYPES = st.sampled_from([None, "image/png", "\ud800", theirs.MediaType.JPEG, 3, ["image/png"], ""])
NAMES = st.none() | st.lists(st.sampled_from(["x", "ä", "\ud800", None, 3]), max_size=4) | st.just(("a", "b"))


def others(*names: str) -> Any:
    """Return a strategy of further arguments, mostly of none."""
    return st.just({}) | st.fixed_dictionaries({}, optional=dict.fromkeys([*names, "unknown"], NUMBERS))


@given(GIVEN, MODELS, others("opacity", "draw_order", "magnification_filter", "width", "height", "datatype"))
def test_images_are_reruns(image: Any, model: Any, further: Any) -> None:
    assert_same(rr.Image, theirs.Image, image)
    assert_same(rr.Image, theirs.Image, image, model)
    assert_same(rr.Image, theirs.Image, image=image, color_model=model, **further)


@given(GIVEN, NUMBERS, others("colormap", "depth_range", "point_fill_ratio", "draw_order"))
def test_depth_images_are_reruns(image: Any, meter: Any, further: Any) -> None:
    assert_same(rr.DepthImage, theirs.DepthImage, image)
    assert_same(rr.DepthImage, theirs.DepthImage, image, meter=meter)
    assert_same(rr.DepthImage, theirs.DepthImage, image=image, meter=meter, **further)


@given(GIVEN, others("opacity", "draw_order"))
def test_segmentation_images_are_reruns(image: Any, further: Any) -> None:
    assert_same(rr.SegmentationImage, theirs.SegmentationImage, image)
    assert_same(rr.SegmentationImage, theirs.SegmentationImage, image=image, **further)


@given(GIVEN | st.binary(max_size=9), MEDIA_TYPES, others("path", "opacity", "draw_order"))
def test_encoded_images_are_reruns(contents: Any, media_type: Any, further: Any) -> None:
    assert_same(rr.EncodedImage, theirs.EncodedImage, contents=contents, media_type=media_type)
    assert_same(rr.EncodedImage, theirs.EncodedImage, contents=contents, media_type=media_type, **further)


@given(GIVEN, NAMES, others("value_range"))
def test_tensors_are_reruns(data: Any, names: Any, further: Any) -> None:
    assert_same(rr.Tensor, theirs.Tensor, data)
    assert_same(rr.Tensor, theirs.Tensor, data, dim_names=names)
    assert_same(rr.Tensor, theirs.Tensor, data=data, dim_names=names, **further)


def test_images_made_of_bytes_are_reruns() -> None:
    for pixels in (b"123456", np.zeros(6, np.uint8), None):
        assert_same(rr.Image, theirs.Image, bytes=pixels, width=2, height=2, pixel_format=theirs.PixelFormat.NV12)
        assert_same(rr.Image, theirs.Image, bytes=pixels, width=2, height=1, color_model="RGB", datatype="U8")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Image", {}),
        ("DepthImage", {"image": np.ones((2, 2))}),
        ("SegmentationImage", {"image": np.ones((2, 2))}),
        ("EncodedImage", {}),
        ("Tensor", {}),
    ],
)
def test_wrong_calls_raise_what_reruns_class_raises(name: str, arguments: Any) -> None:
    ours, reruns = getattr(rr, name), getattr(theirs, name)
    assert_same(ours, reruns)
    assert_same(ours, reruns, 1, 2, 3)
    assert_same(ours, reruns, **arguments, unknown=3)


def test_numbers_of_formats_are_reruns() -> None:
    for name, number in CHANNEL_DATATYPES.items():
        assert theirs.ChannelDatatype.from_np_dtype(np.dtype(name)).value == number
    assert len(theirs.ChannelDatatype) == len(CHANNEL_DATATYPES)
    for model in theirs.ColorModel:
        assert COLOR_MODELS[model.name] == (model.value, model.num_channels())


@given(ARRAYS, MODELS)
@pytest.mark.filterwarnings("ignore")
def test_hot_slots_are_an_images_arrow_data(image: Any, model: Any) -> None:
    try:
        made: Any = rr.Image(image, model)
    except (TypeError, ValueError, AttributeError, UnboundLocalError):
        return
    if not made._fast_kind:
        return
    width, height, pixel_format, color_model, datatype = made._format
    hash(made._format)
    assert (made._buffer.format, made._buffer.ndim, made._buffer.c_contiguous) == ("B", 1, True)
    pixels = pa.Array.from_buffers(pa.uint8(), len(made._buffer), [None, pa.py_buffer(bytes(made._buffer))])
    item = pa.field("item", pa.uint8(), nullable=False, metadata={})
    buffer = pa.ListArray.from_arrays(pa.array([0, len(pixels)], pa.int32()), pixels, type=pa.list_(item))
    fields = theirs.components.ImageFormatBatch._ARROW_DATATYPE
    numbers = (width, height, pixel_format, color_model, datatype)
    image_format = pa.StructArray.from_arrays(
        [pa.array([number], field.type) for number, field in zip(numbers, fields, strict=True)], fields=list(fields)
    )
    found = components(theirs.Image(image, model))
    for (_, data), expected in zip(found, (buffer, image_format), strict=True):
        assert data.endswith(pa.record_batch([expected], names=["component"]).serialize().to_pybytes())


KEPT: dict[str, Any] = {
    "Image": rr.Image,
    "Image of rows": lambda array: rr.Image(array[..., 1].astype(np.float16)),
    "Image with a model": lambda array: rr.Image(array, color_model="BGR"),
    "Image with rerun's model": lambda array: rr.Image(array, theirs.ColorModel.BGR),
    "DepthImage": lambda array: rr.DepthImage(array[..., 0], meter=1000),
    "SegmentationImage": lambda array: rr.SegmentationImage(array[..., :1]),
    "EncodedImage": lambda array: rr.EncodedImage(contents=array.tobytes(), media_type="image/png"),
    "EncodedImage of an array": lambda array: rr.EncodedImage(contents=array.ravel(), media_type=rr.MediaType.PNG),
    "Tensor": lambda array: rr.Tensor(array, dim_names=["y", "x", "c"]),
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT.keys())
def test_usual_arguments_are_kept(make: Any) -> None:
    made = make(np.ones((4, 6, 3), np.uint8))
    assert made._fast_kind
    hash(made._format)


def test_pixels_are_not_copied_until_somebody_looks() -> None:
    frame = np.zeros((2, 3, 3), np.uint8)
    image: Any = rr.Image(frame)
    assert np.shares_memory(np.frombuffer(image._buffer, np.uint8), frame)
    frame[:] = 7
    assert image == theirs.Image(frame)
    frame[:] = 8
    assert image != theirs.Image(frame)
