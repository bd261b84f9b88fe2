"""Images of all kinds: for any argument, Arrow data, warnings and errors are those of rerun's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st

import rerun_mp as rr
from rerun_mp.fast.images import CHANNEL_DATATYPES, COLOR_MODELS
from tests.fast.arrays import ARRAYS, GIVEN, NUMBERS, others
from tests.fast.outcomes import assert_same, components

MODELS = st.sampled_from([None, *COLOR_MODELS, "rgb", "Bgr", "yuv", "no model", *theirs.ColorModel, 1, [1]])


@given(GIVEN, MODELS, others("opacity", "draw_order", "magnification_filter", "width", "height", "datatype"))
def test_images_equal_reruns(image: Any, model: Any, further: Any) -> None:
    assert_same(rr.Image, theirs.Image, image)
    assert_same(rr.Image, theirs.Image, image, model)
    assert_same(rr.Image, theirs.Image, image=image, color_model=model, **further)


@given(GIVEN, NUMBERS, others("colormap", "depth_range", "point_fill_ratio", "draw_order"))
def test_depth_images_equal_reruns(image: Any, meter: Any, further: Any) -> None:
    assert_same(rr.DepthImage, theirs.DepthImage, image)
    assert_same(rr.DepthImage, theirs.DepthImage, image, meter=meter)
    assert_same(rr.DepthImage, theirs.DepthImage, image=image, meter=meter, **further)


@given(GIVEN, others("opacity", "draw_order"))
def test_segmentation_images_equal_reruns(image: Any, further: Any) -> None:
    assert_same(rr.SegmentationImage, theirs.SegmentationImage, image)
    assert_same(rr.SegmentationImage, theirs.SegmentationImage, image=image, **further)


def test_images_made_of_bytes_equal_reruns() -> None:
    for pixels in (b"123456", np.zeros(6, np.uint8), None):
        assert_same(rr.Image, theirs.Image, bytes=pixels, width=2, height=2, pixel_format=theirs.PixelFormat.NV12)
        assert_same(rr.Image, theirs.Image, bytes=pixels, width=2, height=1, color_model="RGB", datatype="U8")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Image", {}),
        ("DepthImage", {"image": np.ones((2, 2))}),
        ("SegmentationImage", {"image": np.ones((2, 2))}),
    ],
)
def test_wrong_calls_raise_as_in_rerun(name: str, arguments: Any) -> None:
    ours, reruns = getattr(rr, name), getattr(theirs, name)
    assert_same(ours, reruns)
    assert_same(ours, reruns, 1, 2, 3)
    assert_same(ours, reruns, **arguments, unknown=3)


def test_the_numbers_of_formats_are_as_in_rerun() -> None:
    for name, number in CHANNEL_DATATYPES.items():
        assert theirs.ChannelDatatype.from_np_dtype(np.dtype(name)).value == number
    assert len(theirs.ChannelDatatype) == len(CHANNEL_DATATYPES)
    for model in theirs.ColorModel:
        assert COLOR_MODELS[model.name] == (model.value, model.num_channels())


@given(ARRAYS, MODELS)
@pytest.mark.filterwarnings("ignore")
def test_the_fast_attributes_are_the_arrow_data(image: Any, model: Any) -> None:
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
}


@pytest.mark.parametrize("make", KEPT.values(), ids=KEPT.keys())
def test_usual_arguments_are_kept(make: Any) -> None:
    made = make(np.ones((4, 6, 3), np.uint8))
    assert made._fast_kind
    hash(made._format)


def test_pixels_are_not_copied_before_the_image_is_used() -> None:
    frame = np.zeros((2, 3, 3), np.uint8)
    image: Any = rr.Image(frame)
    assert np.shares_memory(np.frombuffer(image._buffer, np.uint8), frame)
    frame[:] = 7
    assert image == theirs.Image(frame)
    frame[:] = 8
    assert image != theirs.Image(frame)
