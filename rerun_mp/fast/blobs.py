"""`EncodedImage` and `Tensor`: bytes whose meaning a few texts and numbers tell, kept as views of what the user gave.

As for images, the bytes are copied when the archetype is logged: until then, nobody may write into them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.images import CHANNEL_DATATYPES, NOTE, bytes_of
from rerun_mp.fast.text import plain_text
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ENCODED_IMAGE", "TENSOR", "EncodedImage", "Tensor"]

ENCODED_IMAGE = 8
TENSOR = 9

_ndarray: Any = None
_uint8: Any = None
"""Numpy's arrays and bytes, once it is loaded; nobody can have given us an array before."""

_names: dict[type, str] = {}
"""Names of the types that a tensor can have, by numpy's scalar type."""


class EncodedImage(FastArchetype, fast_kind=ENCODED_IMAGE):
    """The contents of an image file and its media type; a path and anything else is left to rerun's class.

    Hot slots: `_buffer`, the contents as a contiguous memoryview of bytes; `_format`, the media type in a tuple.
    """

    __slots__ = ("_buffer", "_format")

    _note = NOTE

    _fields = ("blob", "media_type", "opacity", "draw_order", "magnification_filter")

    _buffer: memoryview
    _format: tuple[str]

    def __init__(self, *, contents: Any = None, media_type: Any = None, **others: Any) -> None:
        if not others:
            named = plain_text(media_type, "MediaType")
            if named is not None and contents is not None:
                if type(contents) is bytes and contents:
                    self._buffer = memoryview(contents)
                    self._format = (named,)
                    return
                if type(contents) is _ndarray and contents.dtype is _uint8 and contents.ndim == 1 and contents.size:
                    self._buffer = bytes_of(contents)
                    self._format = (named,)
                    return
        self._leave(contents=contents, media_type=media_type, **others)

    __init__.__qualname__ = "EncodedImageExt.__init__"  # as rerun's error messages have it

    def _make(self, theirs: Any) -> Any:
        return theirs.from_fields(blob=bytes(self._buffer), media_type=self._format[0])


class Tensor(FastArchetype, fast_kind=TENSOR):
    """An array of numbers, with or without names of its dimensions; anything else is left to rerun's class.

    Hot slots: `_buffer`, the numbers as a contiguous memoryview of bytes; `_format`, the shape, the name of the
    numbers' type and the names of the dimensions or None.
    """

    __slots__ = ("_buffer", "_format")

    _note = NOTE

    _fields = ("data", "value_range")

    _buffer: memoryview
    _format: tuple[tuple[int, ...], str, tuple[str, ...] | None]

    def __init__(self, data: Any = None, *, dim_names: Any = None, **others: Any) -> None:
        if type(data) is _ndarray and not others and data.size and data.ndim:
            datatype = data.dtype
            name = _names.get(datatype.type)
            if name is not None and datatype.isnative:
                names = None if dim_names is None else _plain_names(dim_names)
                if dim_names is None or (names is not None and len(names) == data.ndim):
                    self._buffer = bytes_of(data)
                    self._format = (data.shape, name, names)
                    return
        self._leave(data, dim_names=dim_names, **others)

    __init__.__qualname__ = "TensorExt.__init__"

    @property
    def _row_layout(self) -> object:
        return TENSOR, self._format, len(self._buffer)

    def _make(self, theirs: Any) -> Any:
        import numpy as np

        shape, name, names = self._format
        return theirs(np.frombuffer(self._buffer, name).reshape(shape), dim_names=names)


def _plain_names(given: Any) -> tuple[str, ...] | None:
    if type(given) not in (list, tuple):
        return None
    names = [plain_text(name, "Text") for name in given if type(name) is str]
    return None if None in names or len(names) != len(given) else tuple(name for name in names if name is not None)


def _take_arrays(numpy: ModuleType) -> None:
    global _ndarray, _uint8
    _ndarray, _uint8 = numpy.ndarray, numpy.dtype("uint8")
    _names.update({getattr(numpy, name): name for name in CHANNEL_DATATYPES})


when_loaded("numpy", _take_arrays)
