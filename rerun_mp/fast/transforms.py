"""`Transform3D`: its numbers, packed when it is made into the bytes that will lie in a table.

So a transform says what the user's arrays said when it was made. (Rerun's points at the memory of arrays that are
float32 already, and copies all others.)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.tables import NumericComponent, RowLayout, ValueKind
from rerun_mp.fast.base import FastArchetype
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["TRANSFORM_3D", "Transform3D"]

TRANSFORM_3D = 10

COMPONENTS = {
    1: NumericComponent("Transform3D", "mat3x3", "TransformMat3x3", "f4", 9, 1),
    2: NumericComponent("Transform3D", "quaternion", "RotationQuat", "f4", 4, 1),
    4: NumericComponent("Transform3D", "relation", "TransformRelation", "u1", 0, 1),
    8: NumericComponent("Transform3D", "scale", "Scale3D", "f4", 3, 1),
    16: NumericComponent("Transform3D", "translation", "Translation3D", "f4", 3, 1),
}
LAYOUTS = [
    RowLayout(ValueKind.PACKED, tuple(component for bit, component in COMPONENTS.items() if bit & given))
    for given in range(32)
]
"""By the sum of the bits of what is given."""

_pack3, _pack4, _pack9 = (struct.Struct(f"<{size}f").pack for size in (3, 4, 9))

_numbers: set[type] = {float, int}
"""Of these, `struct` makes the float32 that numpy makes. Numpy's are added when it is loaded."""

_relations: dict[object, bytes] = {
    "ParentFromChild": b"\1",
    "ChildFromParent": b"\2",
    "parentfromchild": b"\1",
    "childfromparent": b"\2",
}
"""Rerun's constants are added when they are loaded."""

_ndarray: Any = None
_float32: Any = None
_float64: Any = None
_quaternion: Any = None
_relation: Any = None
"""Types of numpy's and rerun's, once these are loaded; nobody can have given us one before."""


class Transform3D(FastArchetype, fast_kind=TRANSFORM_3D):
    """A translation, quaternion, matrix, scale and relation, one of each at most; all else is left to rerun's class.

    Hot slots: `_block`, the bytes of a row; `_row_layout`, one of `LAYOUTS`.
    """

    __slots__ = ("_block", "_row_layout")

    _fields = (
        "translation",
        "rotation_axis_angle",
        "quaternion",
        "scale",
        "mat3x3",
        "relation",
        "child_frame",
        "parent_frame",
    )

    _block: bytes
    _row_layout: RowLayout

    def __init__(
        self,
        *,
        translation: Any = None,
        rotation: Any = None,
        quaternion: Any = None,
        scale: Any = None,
        mat3x3: Any = None,
        relation: Any = None,
        **others: Any,
    ) -> None:
        if not others:
            block = b""
            layout = 0
            try:
                # In the order of the names, as in a row.
                if mat3x3 is not None:
                    block = _matrix(mat3x3)
                    layout = 1
                if rotation is not None:
                    block += _rotation(rotation, quaternion)
                    layout += 2
                elif quaternion is not None:
                    block += _vector(quaternion.xyzw if type(quaternion) is _quaternion else quaternion, 4, _pack4)
                    layout += 2
                if relation is not None:
                    block += _related(relation)
                    layout += 4
                if scale is not None:
                    block += _pack3(scale, scale, scale) if type(scale) in _numbers else _vector(scale, 3, _pack3)
                    layout += 8
                if translation is not None:
                    block += _vector(translation, 3, _pack3)
                    layout += 16
            except (_UnusualError, OverflowError):
                layout = 0
            if layout:
                self._block = block
                self._row_layout = LAYOUTS[layout]
                return
        self._leave(
            translation=translation,
            rotation=rotation,
            quaternion=quaternion,
            scale=scale,
            mat3x3=mat3x3,
            relation=relation,
            **others,
        )

    __init__.__qualname__ = "Transform3DExt.__init__"  # as rerun's error messages have it

    def _make(self, theirs: Any) -> Any:
        import numpy as np

        made: dict[str, Any] = {}
        at = 0
        for component in self._row_layout.components:
            numbers = np.frombuffer(self._block, f"<{component.item}", component.size or 1, at)
            at += component.width
            made[component.field] = int(numbers[0]) if component.field == "relation" else numbers
        if "mat3x3" in made:
            made["mat3x3"] = made["mat3x3"].reshape(3, 3).T
        return theirs(**made)


class _UnusualError(Exception):
    """An argument is for rerun's class to take or to refuse."""


def _vector(given: Any, size: int, pack: Callable[..., bytes]) -> bytes:
    """Return `size` numbers as float32."""
    kind = type(given)
    if kind is tuple or kind is list:
        if len(given) == size and _numbers.issuperset(map(type, given)):
            return pack(*given)
    elif kind is _ndarray and given.shape == (size,):
        if given.dtype is _float64:
            return pack(*given.tolist())
        if given.dtype is _float32:
            return given.tobytes()  # type: ignore[no-any-return]
    raise _UnusualError


def _matrix(given: Any) -> bytes:
    """Return the columns of a matrix that is given by rows, one after the other, as float32."""
    if type(given) is _ndarray:
        if given.shape == (9,):
            given = given.reshape(3, 3)
        elif given.shape != (3, 3):
            raise _UnusualError
        return _vector(given.T.ravel(), 9, _pack9)
    if type(given) not in (tuple, list):
        raise _UnusualError
    if len(given) == 3 and all(type(row) in (tuple, list) and len(row) == 3 for row in given):
        given = [*given[0], *given[1], *given[2]]
    if len(given) != 9:
        raise _UnusualError
    return _vector(given[::3] + given[1::3] + given[2::3], 9, _pack9)


def _rotation(rotation: Any, quaternion: Any) -> bytes:
    """Return the quaternion that `rotation` is."""
    if type(rotation) is not _quaternion or quaternion is not None:
        raise _UnusualError
    return _vector(rotation.xyzw, 4, _pack4)


def _related(relation: Any) -> bytes:
    """Return the number of a relation."""
    if type(relation) is str or type(relation) is _relation:
        known = _relations.get(relation)
        if known is not None:
            return known
    raise _UnusualError


def _take_numbers(numpy: ModuleType) -> None:
    global _ndarray, _float32, _float64
    _ndarray, _float32, _float64 = numpy.ndarray, numpy.dtype("float32"), numpy.dtype("float64")
    _numbers.update(getattr(numpy, name) for name in ("float64", "float32", "int8", "int16", "int32", "uint8"))


def _take_quaternion(encodings: ModuleType) -> None:
    global _quaternion
    _quaternion = encodings.Quaternion


def _take_relations(components: ModuleType) -> None:
    global _relation
    _relation = components.TransformRelation
    _relations.update({constant: bytes([constant.value]) for constant in _relation})


when_loaded("numpy", _take_numbers)
when_loaded("rerun.encodings", _take_quaternion)
when_loaded("rerun.components", _take_relations)
