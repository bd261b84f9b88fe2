"""Components of archetypes that are mostly one block of bytes: Arrow arrays that point at the user's memory.

rerun copies an image's pixels twice before it has an Arrow array of them. Here its class is asked once a format, with
what it then says about everything but the bytes remembered; afterwards only the array of bytes is made anew, around
the bytes that the user gave. They are copied once: into the ring, by the producer.

Any thread may call this; the worst that a race does is to ask rerun twice. A forked child inherits what is remembered.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["blob_components", "is_blob"]

MAX_FORMATS = 256
BLOB_FIELDS = ("buffer", "blob", "data")
"""Which component of such an archetype holds the bytes: an image's, an encoded image's, a tensor's."""

Components = tuple[list["ComponentDescriptor"], list[pa.Array]]


class _Known(NamedTuple):
    """What archetypes of one class and format have in common."""

    descriptors: list[ComponentDescriptor]
    arrays: list[pa.Array]
    """The one of the bytes is empty."""
    position: int
    """Which that is."""


_formats: dict[tuple[type, object], _Known] = {}


def is_blob(archetype: Any) -> bool:
    """Say whether an archetype keeps its bytes in `_buffer` and all else in `_format`, as ours in `fast` do."""
    return bool(getattr(archetype, "_fast_kind", 0)) and hasattr(type(archetype), "_format")


def blob_components(archetype: Any, ask: Callable[[Any], Components]) -> Components:
    """Return the descriptors and arrays of a blob archetype.

    Parameters
    ----------
    archetype
        `is_blob`. It is left as it is.
    ask
        Returns what rerun makes of an archetype, which may change it.
    """
    view, key = archetype._buffer, (type(archetype), archetype._format)
    known = _formats.get(key)
    if known is None:
        # A copy: what rerun has been asked about is rerun's object from then on.
        descriptors, arrays = ask(archetype.__copy__())
        fields = [descriptor.component.rpartition(":")[2] for descriptor in descriptors]
        position = next(i for i, field in enumerate(fields) if field in BLOB_FIELDS)
        arrays[position] = _filled(arrays[position], memoryview(b""))
        known = _Known(descriptors, arrays, position)
        if len(_formats) >= MAX_FORMATS:
            _formats.clear()
        _formats[key] = known
    filled = list(known.arrays)
    filled[known.position] = _filled(known.arrays[known.position], view)
    return known.descriptors, filled


def _filled(array: pa.Array, view: memoryview) -> pa.Array:
    """Return one element like that of `array`, with other bytes."""
    kind = array.type
    if pa.types.is_list(kind):
        number = len(view) * 8 // kind.value_type.bit_width
        items = pa.Array.from_buffers(kind.value_type, number, [None, pa.py_buffer(view)])
        return pa.Array.from_buffers(kind, 1, [None, pa.py_buffer(struct.pack("<2i", 0, number))], children=[items])
    children = [array.field(i) for i in range(kind.num_fields)]
    # A tensor's data is a structure with the numbers in it, in a union with one child for each type of number.
    chosen = _chosen(array)
    children[chosen] = _filled(children[chosen], view)
    own = array.buffers()[: 3 if pa.types.is_union(kind) else 1]
    return pa.Array.from_buffers(kind, 1, own, children=children)


def _chosen(array: pa.Array) -> int:
    if pa.types.is_union(array.type):
        return int(array.type_codes[0].as_py())
    return int(array.type.get_field_index("buffer"))
