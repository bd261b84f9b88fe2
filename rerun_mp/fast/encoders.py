"""Encoders: from the usual arguments of archetypes to the blocks of bytes that a table holds (`component_types`).

An encoder takes plain numbers, texts, lists, tuples and arrays of exactly the known types, and returns what rerun's
converter of the component makes of them, byte for byte. For any other argument it raises `UnusualError`, or whatever
error the conversion raises, and rerun's class decides. So encoders never run a program's own code.

Encoders of vectors return a view of a contiguous array of the right type, as rerun's Arrow arrays point at it; all
others copy. Pure functions; any thread may call them. Nothing here loads numpy.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

from rerun_mp.compat.versions import ENCODINGS
from rerun_mp.fast.values import RotationAxisAngle, rerun_value, text_of
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["CONVERSION_ERRORS", "Encoder", "UnusualError", "encoder", "is_axis_angle"]

Encoder = Callable[[Any], Any]
"""Returns the block of an argument; for types of several columns, the blocks."""


class UnusualError(Exception):
    """Rerun's class must accept or refuse an argument."""


CONVERSION_ERRORS = (UnusualError, OverflowError, ValueError, TypeError, FloatingPointError, struct.error)
"""What encoders raise for arguments that they do not take."""

_numpy: Any = None
_ndarray: Any = None
_dtypes: dict[str, Any] = {}
"""Numpy, its array type, and notation of a number -> dtype. None and empty until numpy is loaded: no argument can be an
array before."""

FLOATS: set[type] = {float, int}
"""Number types that `struct` converts to a float as numpy does. Numpy's types join when numpy is loaded."""
INTEGERS: set[type] = {int}
"""Number types that `struct` converts to an integer as numpy does."""
LISTS = frozenset({list, tuple})
SMALL = 64
"""Numbers up to which a loop in Python converts an array faster than numpy does."""

_angles: dict[str, Any] = {}
"""Rerun's classes by name, once they are loaded."""


def encoder(kind: str, item: str = "", size: int = 0, names: dict[str, int] | None = None) -> Encoder:
    """Return the encoder of a component.

    Parameters
    ----------
    kind
        The name of a function of this module without its underscore.
    item
        Notation of the numbers.
    size
        Numbers in a vector.
    names
        Values of an enumeration by name.
    """
    if kind == "numbers":
        return _numbers(item)
    if kind == "vectors":
        return _vectors(item, size)
    if kind == "strips":
        return _strips(_vectors(item, size), _BYTES[item] * size)
    if kind == "enumeration":
        return _enumeration(names or {}, _BYTES[item])
    found: Encoder = {
        "colors": _colors,
        "texts": _texts,
        "media_types": _media_types,
        "booleans": _booleans,
        "matrix": _matrix,
        "axis_angles": _axis_angles,
        "blob": _blob,
    }[kind]
    return found


_CODES = {"f4": "f", "f8": "d", "u2": "H", "u4": "I", "u8": "Q", "i4": "i", "i8": "q", "u1": "B"}
_BYTES = {item: struct.calcsize(f"<{code}") for item, code in _CODES.items()}
_pack_length = struct.Struct("<I").pack


def _numbers(item: str) -> Encoder:
    code, is_float = _CODES[item], item[0] == "f"
    pack_one, pack = struct.Struct(f"<{code}").pack, struct.pack
    known = FLOATS if is_float else INTEGERS
    packers = [struct.Struct(f"<{n}{code}").pack for n in range(SMALL + 1)]

    def encode(given: Any) -> Any:
        kind = type(given)
        if kind is _ndarray:
            return _array(given, item).tobytes()
        if kind in LISTS:
            if not known.issuperset(map(type, given)):
                raise UnusualError
            n = len(given)
            return packers[n](*given) if n <= SMALL else pack(f"<{n}{code}", *given)
        if kind in known:
            return pack_one(given)
        raise UnusualError

    return encode


def _vectors(item: str, size: int) -> Encoder:
    code, known = _CODES[item], FLOATS if item[0] == "f" else INTEGERS
    pack, sizes = struct.pack, {size}
    packers = [struct.Struct(f"<{n}{code}").pack for n in range(SMALL + 1)]
    flatten, strides = chain.from_iterable, (size * _BYTES[item], _BYTES[item])

    def encode(given: Any) -> Any:
        kind = type(given)
        if kind is _ndarray:
            shape = given.shape
            if given.strides == strides and shape[1] == size and shape[0] and given.dtype is _dtypes[item]:
                return given.data.cast("B")
            if (len(shape) == 2 and shape[1] == size) or (len(shape) == 1 and not shape[0] % size):
                made = _array(given, item)
                return made.data.cast("B") if made.size else b""
        elif kind in LISTS:
            if given and type(given[0]) in LISTS:
                if not LISTS.issuperset(map(type, given)) or set(map(len, given)) != sizes:
                    raise UnusualError
                given = [*flatten(given)]
            n = len(given)
            if n % size or not known.issuperset(map(type, given)):
                if n and set(map(type, given)) == {_ndarray} and all(row.shape == (size,) for row in given):
                    return b"".join([_array(row, item).tobytes() for row in given])
                raise UnusualError
            return packers[n](*given) if n <= SMALL else pack(f"<{n}{code}", *given)
        raise UnusualError

    return encode


def _array(given: Any, item: str) -> Any:
    """Return an array as a contiguous one of other numbers, as rerun converts it without a warning."""
    dtype, own = _dtypes[item], given.dtype
    if own is dtype:
        return given if given.flags.c_contiguous else _numpy.ascontiguousarray(given)
    if own.kind == "f":
        if item[0] != "f" or own.itemsize > 8:
            raise UnusualError
        if own.itemsize > dtype.itemsize:
            with _numpy.errstate(all="raise"):
                return _numpy.ascontiguousarray(given, dtype)
    elif own.kind not in "iu" and not (own.kind == "b" and item[0] == "f"):
        raise UnusualError
    return _numpy.ascontiguousarray(given, dtype)


def _strips(vectors: Encoder, unit: int) -> Encoder:
    def encode(given: Any) -> Any:
        kind = type(given)
        if kind is _ndarray:
            if given.ndim != 3 or not given.size:
                raise UnusualError
            data = vectors(given.reshape(-1, given.shape[2]))
            return array("I", [given.shape[1]] * given.shape[0]).tobytes(), data
        if kind not in LISTS or not given:
            raise UnusualError
        first = given[0]
        if type(first) in LISTS and first and type(first[0]) in FLOATS:
            data = vectors(given)
            return _pack_length(len(data) // unit), data
        blocks = []
        for strip in given:
            kind = type(strip)
            if kind is _ndarray:
                if strip.ndim != 2:
                    raise UnusualError
            elif kind not in LISTS or not strip or type(strip[0]) not in LISTS:
                raise UnusualError
            blocks.append(vectors(strip))
        return array("I", [len(block) // unit for block in blocks]).tobytes(), b"".join(blocks)

    return encode


def _colors(given: Any) -> Any:
    kind = type(given)
    if kind is _ndarray:
        return _color_array(given)
    if kind in LISTS:
        n = len(given)
        if n and type(given[0]) in LISTS:
            (channels,) = set(map(len, given))
            if channels not in (3, 4) or not LISTS.issuperset(map(type, given)):
                raise UnusualError
            flat = [*chain.from_iterable(given)]
            if set(map(type, flat)) != {int}:
                raise UnusualError
            return _reversed(bytes(flat), channels, n)
        if not INTEGERS.issuperset(map(type, given)):
            raise UnusualError
        if n in (3, 4):
            return _reversed(bytes(given), n, 1)
        return struct.pack(f"<{n}I", *given)
    if kind is int:
        return _pack_length(given)
    raise UnusualError


def _color_array(given: Any) -> Any:
    shape = given.shape
    if given.dtype is _dtypes["u4"] and len(shape) == 1:
        return given.tobytes()
    if len(shape) != 2 or shape[1] not in (3, 4) or not shape[0]:
        raise UnusualError
    if given.dtype.kind == "f":
        with _numpy.errstate(all="raise"):
            given = _numpy.asarray(_numpy.round(given * 255.0), _dtypes["u1"])
    elif given.dtype is not _dtypes["u1"]:
        if given.dtype.kind not in "iu" or given.dtype == _dtypes["u4"]:
            raise UnusualError
        given = given.astype(_dtypes["u1"])
    if shape[1] == 4 and given.flags.c_contiguous:
        return given.view(_dtypes["u4"]).byteswap().tobytes()
    return _reversed(given.tobytes(), shape[1], shape[0])


def _reversed(colors: bytes, channels: int, n: int) -> bytearray:
    """Return colors of 3 or 4 bytes as 4 bytes in the opposite order."""
    made = bytearray(b"\xff") * (4 * n)
    made[3::4] = colors[::channels]
    made[2::4] = colors[1::channels]
    made[1::4] = colors[2::channels]
    if channels == 4:
        made[::4] = colors[3::4]
    return made


def _texts(given: Any) -> Any:
    if type(given) is str:
        text = given.encode()
        return _pack_length(len(text)), text
    if type(given) not in LISTS or not {str}.issuperset(map(type, given)):
        raise UnusualError
    joined = "".join(given)
    if joined.isascii():
        return array("I", map(len, given)).tobytes(), joined.encode()
    texts = [text.encode() for text in given]
    return array("I", map(len, texts)).tobytes(), b"".join(texts)


def _media_types(given: Any) -> Any:
    return _texts(text_of(given))


def _booleans(given: Any) -> Any:
    kind = type(given)
    if kind is bool:
        return b"\1" if given else b"\0"
    if kind in LISTS and {bool}.issuperset(map(type, given)):
        return bytes(given)
    if kind is _ndarray and given.dtype.kind == "b":
        return given.tobytes()
    raise UnusualError


def _enumeration(names: dict[str, int], size: int) -> Encoder:
    values = {value: value.to_bytes(size, "little") for value in names.values()}
    known = {name: values[value] for name, value in names.items()}
    known |= {name.lower(): block for name, block in known.items()}

    def encode(given: Any) -> Any:
        kind = type(given)
        if kind is str:
            return known[given] if given in known else _raise_unusual()
        if kind is int:
            return values[given] if given in values else _raise_unusual()
        if kind in LISTS:
            return b"".join([known[one] if type(one) is str and one in known else _raise_unusual() for one in given])
        if kind.__module__.startswith("rerun.") and getattr(kind, "_member_names_", None) == [*names]:
            return values[given.value]
        raise UnusualError

    return encode


def _raise_unusual() -> Any:
    raise UnusualError


_pack9 = struct.Struct("<9f").pack


def _matrix(given: Any) -> Any:
    """Return one matrix, given row by row, column by column as float32."""
    kind = type(given)
    if kind is _ndarray:
        if given.shape == (9,):
            given = given.reshape(3, 3)
        elif given.shape != (3, 3):
            raise UnusualError
        return _array(given.T, "f4").tobytes()
    if kind not in LISTS:
        raise UnusualError
    if len(given) == 3 and all(type(row) in LISTS and len(row) == 3 for row in given):
        given = [*given[0], *given[1], *given[2]]
    if len(given) != 9 or not FLOATS.issuperset(map(type, given)):
        raise UnusualError
    return _pack9(*given[::3], *given[1::3], *given[2::3])


_pack1 = struct.Struct("<f").pack


def _axis_angles(given: Any) -> Any:
    rotation, angle = _angles.get("RotationAxisAngle"), _angles.get("Angle")
    if type(given) is RotationAxisAngle:
        return given._axis, _pack1(given._radians)
    given = (rerun_value(given),) if is_axis_angle(given) else given
    if type(given) not in LISTS or not given:
        raise UnusualError
    axes, angles = [], []
    for one in map(rerun_value, given):
        if type(one) is RotationAxisAngle:
            axes.append(one._axis)
            angles.append(_pack1(one._radians))
            continue
        if type(one) is not rotation or rotation is None:
            raise UnusualError
        axis, turned = one.axis.xyz, one.angle
        if type(axis) is not _ndarray or axis.shape != (3,) or type(turned) is not angle:
            raise UnusualError
        axes.append(_array(axis, "f4").tobytes())
        angles.append(_pack1(turned.radians))
    return b"".join(axes), b"".join(angles)


def is_axis_angle(given: Any) -> bool:
    """Return whether `given` is a rotation by an angle around an axis, ours or rerun's."""
    kind = type(given)
    return kind in (RotationAxisAngle, RotationAxisAngle._materialised, _angles.get("RotationAxisAngle"))


def _blob(given: Any) -> Any:
    if type(given) is bytes and given:
        return _pack_length(len(given)), given
    if type(given) is _ndarray and given.dtype is _dtypes["u1"] and given.ndim == 1 and given.size:
        return _pack_length(len(given)), given.tobytes()
    raise UnusualError


def _remember_numpy(numpy: ModuleType) -> None:
    global _numpy, _ndarray
    _numpy = numpy
    _dtypes.update({item: numpy.dtype(item) for item in _CODES})
    FLOATS.update(getattr(numpy, name) for name in ("float64", "float32", "int8", "int16", "int32", "uint8"))
    _ndarray = numpy.ndarray


def _remember_angles(encodings: ModuleType) -> None:
    _angles.update({name: getattr(encodings, name) for name in ("RotationAxisAngle", "Angle")})


when_loaded("numpy", _remember_numpy)
for _module in ENCODINGS:
    when_loaded(_module, _remember_angles)
