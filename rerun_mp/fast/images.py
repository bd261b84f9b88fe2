"""`Image`, `DepthImage` and `SegmentationImage`: the pixels, kept as a view of the user's array.

The pixels are copied once, when the image is logged; rerun copies them when the image is made. So a change of the array
between the two calls is logged. `rr.log(path, rr.Image(frame))` leaves no time for one. To keep an image while the
array changes, make it from a copy: `rr.Image(frame.copy())`. Reading a field, comparing, pickling and deep-copying make
a copy of the pixels.

The numbers of formats are those of rerun's enumerations; a test compares them.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from rerun_mp.compat.versions import ENCODINGS
from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.catalogue import COMPONENTS
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "CHANNEL_DATATYPES",
    "DEPTH_IMAGE",
    "IMAGE",
    "NOTE",
    "SEGMENTATION_IMAGE",
    "DepthImage",
    "Image",
    "SegmentationImage",
    "bytes_of",
]

IMAGE = 5
DEPTH_IMAGE = 6
SEGMENTATION_IMAGE = 7

CHANNEL_DATATYPES = {
    "uint8": 6,
    "int8": 7,
    "uint16": 8,
    "int16": 9,
    "uint32": 10,
    "int32": 11,
    "uint64": 12,
    "int64": 13,
    "float16": 33,
    "float32": 34,
    "float64": 35,
}
COLOR_MODELS = {"L": (1, 1), "RGB": (2, 3), "RGBA": (3, 4), "BGR": (4, 3), "BGRA": (5, 4)}
"""Color model -> (rerun's number, channels)."""

MIN_METER = 1e-30
MAX_METER = 1e30
"""Between these bounds, a number becomes neither 0 nor infinite in single precision."""

NOTE = """
    Note
    ----
    The array is copied when the archetype is logged. Until then, do not write into it, or give a copy.
"""
"""Appended to the docstrings of rerun's classes."""

_pack_length = struct.Struct("<I").pack
_pack_meter = struct.Struct("<f").pack

_ndarray: Any = None
_uint8: Any = None
"""Numpy's array type and its uint8; None until numpy is loaded, and no argument can be an array before."""

_datatypes: dict[type, int] = {}
"""Numpy's scalar type -> rerun's number of the channel datatype."""

_models: dict[tuple[object, int], int] = {(None, 1): 1, (None, 3): 2, (None, 4): 3}
"""(color model as the user gives it, channels) -> rerun's number. Users give a text, rerun's enumeration or None."""

ImageFormat = tuple[int, int, None, "int | None", int]
"""Width, height, pixel format, color model, channel datatype."""


class Image(FastArchetype, fast_kind=IMAGE):
    """An array of pixels, with or without a color model. Any other argument goes to rerun's class.

    Fast attributes: `_buffer`, the pixels as a contiguous memoryview of bytes; `_format`, an `ImageFormat`.
    """

    __slots__ = ("_buffer", "_format")

    _is_blob = True

    _doc_note = NOTE

    _fields = ("buffer", "format", "opacity", "draw_order", "magnification_filter")

    _buffer: memoryview
    _format: ImageFormat

    def __init__(self, image: Any = None, color_model: Any = None, **others: Any) -> None:
        if type(image) is _ndarray and not others:
            shape = image.shape
            datatype = _datatypes.get(image.dtype.type)
            channels = shape[2] if len(shape) == 3 and shape[0] != 1 else 1 if len(shape) == 2 else 0
            try:
                model = _models.get((color_model, channels))
            except TypeError:  # not hashable
                model = None
            if model is not None and datatype is not None and image.size:
                self._buffer = bytes_of(image)
                self._format = (shape[1], shape[0], None, model, datatype)
                return
        self._leave_to_rerun(image, color_model, **others)

    __init__.__qualname__ = "ImageExt.__init__"  # appears in error messages, as rerun's does

    def _find_row_layout(self) -> object:
        return IMAGE, self._format, len(self._buffer)

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        return _columns_of_pixels(self)

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class.from_fields(buffer=bytes(self._buffer), format=_rerun_format(self._format))


class DepthImage(FastArchetype, fast_kind=DEPTH_IMAGE):
    """An array of depths, with or without their unit. Any other argument goes to rerun's class.

    Fast attributes: `_buffer`, the depths as a contiguous memoryview of bytes; `_format`, an `ImageFormat` and `meter`.
    """

    __slots__ = ("_buffer", "_format")

    _is_blob = True

    _doc_note = NOTE

    _fields = (
        "buffer",
        "format",
        "meter",
        "colormap",
        "depth_range",
        "point_fill_ratio",
        "draw_order",
        "magnification_filter",
    )

    _buffer: memoryview
    _format: tuple[int, int, None, None, int, float | None]

    def __init__(self, image: Any, *, meter: Any = None, **others: Any) -> None:
        if type(image) is _ndarray and not others:
            shape = image.shape
            datatype = _datatypes.get(image.dtype.type)
            is_plane = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1 != shape[0])
            is_usual_meter = meter is None or (type(meter) in (float, int) and MIN_METER < meter < MAX_METER)
            if is_plane and is_usual_meter and datatype is not None and image.size:
                self._buffer = bytes_of(image)
                self._format = (shape[1], shape[0], None, None, datatype, None if meter is None else float(meter))
                return
        self._leave_to_rerun(image, meter=meter, **others)

    __init__.__qualname__ = "DepthImageExt.__init__"

    def _find_row_layout(self) -> object:
        return DEPTH_IMAGE, self._format, len(self._buffer)

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        *image_format, meter = self._format
        length = _pack_length(len(self._buffer))
        blocks = [length, self._buffer, *format_blocks(tuple(image_format))]
        if meter is None:
            return layout_of("DepthImage", "ImageBuffer"), blocks
        return layout_of("DepthImage", "ImageBuffer", "meter"), [*blocks, _pack_meter(meter)]

    def _to_rerun(self, rerun_class: Any) -> Any:
        *image_format, meter = self._format
        made_format = _rerun_format(tuple(image_format))
        return rerun_class.from_fields(buffer=bytes(self._buffer), format=made_format, meter=meter)


class SegmentationImage(FastArchetype, fast_kind=SEGMENTATION_IMAGE):
    """An array of class ids. Any other argument goes to rerun's class.

    Fast attributes: `_buffer`, the ids as a contiguous memoryview of bytes; `_format`, an `ImageFormat`.
    """

    __slots__ = ("_buffer", "_format")

    _is_blob = True

    _doc_note = NOTE

    _fields = ("buffer", "format", "opacity", "draw_order")

    _buffer: memoryview
    _format: ImageFormat

    def __init__(self, image: Any, **others: Any) -> None:
        if type(image) is _ndarray and not others:
            shape = image.shape
            datatype = _datatypes.get(image.dtype.type)
            is_plane = len(shape) == 2 or (len(shape) == 3 and shape[2] == 1 != shape[0])
            if is_plane and datatype is not None and image.size:
                self._buffer = bytes_of(image)
                self._format = (shape[1], shape[0], None, None, datatype)
                return
        self._leave_to_rerun(image, **others)

    __init__.__qualname__ = "SegmentationImageExt.__init__"

    def _find_row_layout(self) -> object:
        return SEGMENTATION_IMAGE, self._format, len(self._buffer)

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        return _columns_of_pixels(self)

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class.from_fields(buffer=bytes(self._buffer), format=_rerun_format(self._format))


def _columns_of_pixels(image: Image | SegmentationImage) -> tuple[ColumnsLayout, list[Any]]:
    layout = layout_of(type(image).__name__, "ImageBuffer")
    return layout, [_pack_length(len(image._buffer)), image._buffer, *format_blocks(image._format)]


@cache
def layout_of(archetype: str, blob: str, further: str = "") -> ColumnsLayout:
    """Return the layout of an image's components."""
    facts = [("buffer", blob), ("format", "ImageFormat")] + ([("meter", "DepthMeter")] if further else [])
    return columns_layout(
        tuple(
            ListComponent(
                f"{archetype}:{field}",
                f"rerun.archetypes.{archetype}",
                f"rerun.components.{component}",
                COMPONENTS[component][0],
            )
            for field, component in facts
        )
    )


@lru_cache(maxsize=256)
def format_blocks(image_format: tuple[Any, ...]) -> tuple[bytes, ...]:
    """Return the blocks of an image's format: two numbers, and three that may be missing."""
    width, height, *rest = image_format
    blocks = [_pack_length(width), _pack_length(height)]
    for number in rest:
        blocks += [b"\0", b"\0"] if number is None else [b"\1", bytes([number])]
    return tuple(blocks)


def bytes_of(image: Any) -> memoryview:
    """Return the bytes of an array in C order, without a copy if the array is contiguous."""
    if not image.flags.c_contiguous:
        return memoryview(image.tobytes())
    if image.dtype is _uint8:
        return memoryview(image).cast("B")
    return memoryview(image.reshape(-1).view(_uint8))  # `cast` supports neither float16 nor other byte orders


def _rerun_format(image_format: tuple[Any, ...]) -> Any:
    from rerun.components import ImageFormat as Format

    width, height, pixel_format, color_model, datatype = image_format
    return Format(width, height, pixel_format=pixel_format, color_model=color_model, channel_datatype=datatype)


def _remember_numpy(numpy: ModuleType) -> None:
    global _ndarray, _uint8
    _ndarray, _uint8 = numpy.ndarray, numpy.dtype("uint8")
    _datatypes.update({getattr(numpy, name): number for name, number in CHANNEL_DATATYPES.items()})


def _remember_color_models(encodings: ModuleType) -> None:
    for model in encodings.ColorModel:
        number, channels = COLOR_MODELS[model.name]
        _models[model, channels] = number


for _name, (_number, _channels) in COLOR_MODELS.items():
    _models[_name, _channels] = _models[_name.lower(), _channels] = _number

when_loaded("numpy", _remember_numpy)
for _module in ENCODINGS:
    when_loaded(_module, _remember_color_models)
