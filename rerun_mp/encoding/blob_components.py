"""Components of blob archetypes: Arrow arrays that point at the user's memory.

A *blob archetype* (`Image`, `DepthImage`, `SegmentationImage`, `EncodedImage`, `Tensor`) is mostly one block of bytes,
the *blob*. Rerun copies an image's pixels twice to make an Arrow array of them. This module makes the arrays once for
each format and remembers everything but the blob; later it wraps the user's bytes in an array of that type. The
producer copies them once, into the ring.

Three caches hold facts about blob archetypes, each for a case that the other two do not cover (processor time for a
640x480 color image):

- This one, by class and format, for any size and beside other archetypes: 160 us instead of 560 us by asking rerun.
- `Encoder.blob_template`, by size and timelines too, also for static rows: 2.5 us instead of the 160 us above.
- `producer.repeated_blobs`, by entity too, a message that is complete except for row id, times and blob: saves 25 to
  40 us of the 310 us of a whole `log` call, most of which copy the pixels.

Any thread may call this: a race at worst makes them twice. A forked child inherits what is remembered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from rerun_mp.shm.interruptions import attribute_of

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["blob_components", "is_blob"]

MAX_FORMATS = 256
"""Maximum number of formats that are remembered; all are forgotten beyond that."""

BLOB_FIELDS = ("buffer", "blob", "data")
"""Fields that hold the blob: of an image, an encoded image, a tensor."""

Components = tuple[list["ComponentDescriptor"], list[pa.Array]]


class _FormatComponents(NamedTuple):
    """The components that archetypes of one class and format share."""

    descriptors: list[ComponentDescriptor]
    arrays: list[pa.Array]
    """The blob's array is empty."""
    position: int
    """Index of the blob's array."""


_formats: dict[tuple[type, object], _FormatComponents] = {}


def is_blob(archetype: Any) -> bool:
    """Return whether an archetype is a fast one that keeps its blob in `_buffer` and all else in `_format`."""
    if issubclass(type(archetype), type):
        return False  # the class, in place of an object
    return bool(attribute_of(archetype, "_fast_kind")) and archetype._is_blob


def blob_components(archetype: Any, ask: Callable[[Any], Components]) -> Components:
    """Return the descriptors and arrays of a blob archetype.

    Parameters
    ----------
    archetype
        `is_blob` holds for it. It stays unchanged.
    ask
        Returns the descriptors and arrays of an archetype; may materialise it.
    """
    view, key = archetype._buffer, (type(archetype), archetype._format)
    known = _formats.get(key)
    if known is None:
        # A copy, because rerun, if it is asked, materialises the archetype.
        descriptors, arrays = ask(archetype.__copy__())
        fields = [descriptor.component.rpartition(":")[2] for descriptor in descriptors]
        position = next(i for i, field in enumerate(fields) if field in BLOB_FIELDS)
        arrays[position] = _filled(arrays[position], memoryview(b""))
        known = _FormatComponents(descriptors, arrays, position)
        if len(_formats) >= MAX_FORMATS:
            _formats.clear()
        _formats[key] = known
    filled = list(known.arrays)
    filled[known.position] = _filled(known.arrays[known.position], view)
    return known.descriptors, filled


def _filled(array: pa.Array, view: memoryview) -> pa.Array:
    """Return a copy of a one-element array whose blob is `view`."""
    kind = array.type
    if pa.types.is_list(kind):
        number = len(view) * 8 // kind.value_type.bit_width
        items = pa.Array.from_buffers(kind.value_type, number, [None, pa.py_buffer(view)])
        return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(struct.pack("<2i", 0, number))], children=[items])
    children = [array.field(i) for i in range(kind.num_fields)]
    # A tensor's data is a structure that holds the numbers in a union, with one child for each number type.
    chosen = _blob_child(array)
    children[chosen] = _filled(children[chosen], view)
    own = array.buffers()[: 3 if pa.types.is_union(kind) else 1]
    return pa.Array.from_buffers(kind, 1, own, children=children)


def _blob_child(array: pa.Array) -> int:
    """Return the index of the child that holds the blob."""
    if pa.types.is_union(array.type):
        return int(array.type_codes[0].as_py())
    return int(array.type.get_field_index("buffer"))
