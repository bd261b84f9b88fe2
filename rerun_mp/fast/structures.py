"""Encoders of components that are structures: class annotations, and arrays of numbers in one dimension.

As in `encoders`: they take plain values only, and return the blocks that rerun's converter would give. Pure functions;
any thread may call them. Nothing here loads numpy.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.fast.encoders import LISTS, UnusualError, encoder

if TYPE_CHECKING:
    from rerun_mp.fast.encoders import Encoder

__all__ = ["STRUCTURES", "tensor_blocks"]

BUFFERS = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
"""The number types of a tensor, in the order of rerun's union."""
COLOR_BYTES = 4

_encode_color, _encode_texts = encoder("colors"), encoder("texts")


def _annotations(given: Any) -> tuple[Any, ...]:
    """Encode tuples of a class id, a label and perhaps a color."""
    if type(given) not in LISTS or not given or set(map(type, given)) != {tuple}:
        raise UnusualError
    ids = [one[0] for one in given]
    if {*map(type, ids)} != {int} or len({*ids}) != len(ids) or not all(2 <= len(one) <= 3 for one in given):
        raise UnusualError
    n = len(ids)
    lengths, texts = _encode_texts([one[1] for one in given])
    colors = b"".join([_color(one[2]) if len(one) > 2 else bytes(COLOR_BYTES) for one in given])
    packed, nothing = struct.pack(f"<{n}H", *ids), bytes(4 * n)
    has_color = bytes(len(one) > 2 for one in given)
    info = (packed, b"\1" * n, lengths, texts, has_color, colors)
    keypoints, connections = (nothing, b"", b"", b"", b"", b"", b""), (nothing, b"", b"")
    return struct.pack("<I", n), packed, *info, *keypoints, *connections


def _color(given: Any) -> Any:
    if given is None:
        raise UnusualError
    block = _encode_color(given)
    if len(block) != COLOR_BYTES:
        raise UnusualError
    return block


def _bars(given: Any) -> tuple[Any, ...]:
    """Encode an array of one dimension, or a list of numbers, as a tensor."""
    kind = type(given)
    if kind in LISTS:
        kinds = set(map(type, given))
        if not kinds or not kinds <= {int, float}:
            raise UnusualError
        item = "f8" if float in kinds else "i8"
        data = struct.pack(f"<{len(given)}{'d' if item == 'f8' else 'q'}", *given)
    else:
        numpy = sys.modules.get("numpy")  # a program that has an array has loaded numpy
        if numpy is None or kind is not numpy.ndarray or given.ndim != 1 or not given.size:
            raise UnusualError
        item = f"{given.dtype.kind}{given.dtype.itemsize}"
        if item not in BUFFERS or not given.dtype.isnative:
            raise UnusualError
        data = given.tobytes()
    return tensor_blocks((len(given),), None, item, data)


def tensor_blocks(shape: tuple[int, ...], names: tuple[str, ...] | None, item: str, data: Any) -> tuple[Any, ...]:
    """Return the blocks of a tensor: its shape, the names of its dimensions or None, and its numbers as bytes."""
    at, n = BUFFERS.index(item), len(shape)
    before, after = 2 * at, 2 * (len(BUFFERS) - at - 1)
    sizes = struct.pack("<I", n), struct.pack(f"<{n}Q", *shape)
    named = (b"\0", bytes(4), b"", b"") if names is None else (b"\1", struct.pack("<I", n), *_encode_texts([*names]))
    numbers = struct.pack("<I", len(data) // int(item[1])), data
    # The buffer is there, and has the type with this number.
    return *sizes, *named, b"\1", bytes((at + 1,)), *[b""] * before, *numbers, *[b""] * after


STRUCTURES: dict[str, Encoder] = {"annotations": _annotations, "bars": _bars}
"""By the kind of the component in the catalogue."""
