"""`EncodedImage`: the contents of an image file, kept as a view of the user's bytes or array.

The contents are copied when the archetype is logged, as for images: see `rerun_mp.fast.images`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.catalogue import COMPONENTS
from rerun_mp.fast.images import NOTE, bytes_of
from rerun_mp.fast.text import plain_text
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ENCODED_IMAGE", "EncodedImage"]

ENCODED_IMAGE = 8

COLUMNS = columns_layout(
    tuple(
        ListComponent(
            f"EncodedImage:{field}",
            "rerun.archetypes.EncodedImage",
            f"rerun.components.{component}",
            COMPONENTS[component][0],
        )
        for field, component in (("blob", "Blob"), ("media_type", "MediaType"))
    )
)

_pack_length = struct.Struct("<I").pack

_ndarray: Any = None
_uint8: Any = None
"""Numpy's array type and its uint8; None until numpy is loaded, and no argument can be an array before."""


class EncodedImage(FastArchetype, fast_kind=ENCODED_IMAGE):
    """An image file's contents and media type. A path, and any other argument, goes to rerun's class.

    Fast attributes: `_buffer`, the contents as a contiguous memoryview of bytes; `_format`, a tuple of the media type.
    """

    __slots__ = ("_buffer", "_format")

    _is_blob = True

    _doc_note = NOTE

    _fields = ("blob", "media_type", "opacity", "draw_order", "magnification_filter")

    _buffer: memoryview
    _format: tuple[str]

    def __init__(self, *, contents: Any = None, media_type: Any = None, **others: Any) -> None:
        if not others:
            name = plain_text(media_type, "MediaType")
            if name is not None and contents is not None:
                if type(contents) is bytes and contents:
                    self._buffer = memoryview(contents)
                    self._format = (name,)
                    return
                if type(contents) is _ndarray and contents.dtype is _uint8 and contents.ndim == 1 and contents.size:
                    self._buffer = bytes_of(contents)
                    self._format = (name,)
                    return
        self._leave_to_rerun(contents=contents, media_type=media_type, **others)

    __init__.__qualname__ = "EncodedImageExt.__init__"  # appears in error messages, as rerun's does

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        name = self._format[0].encode()
        return COLUMNS, [_pack_length(len(self._buffer)), self._buffer, _pack_length(len(name)), name]

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class.from_fields(blob=bytes(self._buffer), media_type=self._format[0])


def _remember_numpy(numpy: ModuleType) -> None:
    global _ndarray, _uint8
    _ndarray, _uint8 = numpy.ndarray, numpy.dtype("uint8")


when_loaded("numpy", _remember_numpy)
