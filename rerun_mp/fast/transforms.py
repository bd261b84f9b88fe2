"""`Transform3D`: its numbers, packed by the constructor into the bytes that a table holds.

So a transform keeps the values that the user's arrays had when it was made. (Rerun's transform points at the memory of
float32 arrays and copies all others.)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rerun_mp.compat.versions import ENCODINGS
from rerun_mp.encoding.row_layouts import (
    ColumnsLayout,
    ListComponent,
    NumericComponent,
    RowLayout,
    ValueKind,
    columns_layout,
)
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.general import encode_in_columns
from rerun_mp.fast.values import Quaternion, rerun_value
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
"""Index: the sum of the keys in `COMPONENTS` of the given arguments."""


def _columns_of(layout: RowLayout) -> ColumnsLayout:
    """Return the same components in the form of a table of any components."""
    components = []
    for component in layout.components:
        assert isinstance(component, NumericComponent)
        components.append(
            ListComponent(
                f"Transform3D:{component.field}",
                "rerun.archetypes.Transform3D",
                f"rerun.components.{component.component_type}",
                f'["fixed",{component.size},false,"f4"]' if component.size else '"u1"',
            )
        )
    return columns_layout(tuple(components))


COLUMNS = {layout: _columns_of(layout) for layout in LAYOUTS[1:]}

_pack3, _pack4, _pack9 = (struct.Struct(f"<{size}f").pack for size in (3, 4, 9))

_numbers: set[type] = {float, int}
"""Number types that `struct` converts to float32 as numpy does. Numpy's types join when numpy is loaded."""

_plain: set[type] = {tuple, list}
"""Types of numbers without an object around them. numpy's array joins when numpy is loaded."""

_relations: dict[object, bytes] = {
    "ParentFromChild": b"\1",
    "ChildFromParent": b"\2",
    "parentfromchild": b"\1",
    "childfromparent": b"\2",
}
"""Relation -> its byte in a row. Rerun's constants join when they are loaded."""

_ndarray: Any = None
_float32: Any = None
_float64: Any = None
_quaternion: Any = None
_relation: Any = None
"""Types of numpy and rerun; None until these are loaded, and no argument can be of such a type before."""


class Transform3D(FastArchetype, fast_kind=TRANSFORM_3D):
    """At most one translation, quaternion, matrix, scale and relation; else see `general.encode_in_columns`.

    Fast attributes: `_block`, the bytes of a row; `_row_layout`, one of `LAYOUTS`.
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
                # In the order of the components in a row, which is that of their names.
                if mat3x3 is not None:
                    block = _matrix(mat3x3)
                    layout = 1
                if rotation is not None:
                    block += _rotation(rotation, quaternion)
                    layout += 2
                elif quaternion is not None:
                    block += _vector(quaternion, 4, _pack4) if type(quaternion) in _plain else _packed(quaternion)
                    layout += 2
                if relation is not None:
                    block += _relation_byte(relation)
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
        encode_in_columns(
            self,
            translation=translation,
            rotation=rotation,
            quaternion=quaternion,
            scale=scale,
            mat3x3=mat3x3,
            relation=relation,
            **others,
        )

    __init__.__qualname__ = "Transform3DExt.__init__"  # appears in error messages, as rerun's does

    def _find_row_layout(self) -> RowLayout:
        return self._row_layout

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        blocks = []
        at = 0
        for component in self._row_layout.components:
            width = component.width  # type: ignore[union-attr]
            blocks.append(self._block[at : at + width])
            at += width
        return COLUMNS[self._row_layout], blocks

    def _to_rerun(self, rerun_class: Any) -> Any:
        import numpy as np

        made: dict[str, Any] = {}
        at = 0
        for component in self._row_layout.components:
            assert isinstance(component, NumericComponent)
            numbers = np.frombuffer(self._block, f"<{component.item}", component.size or 1, at)
            at += component.width
            made[component.field] = int(numbers[0]) if component.field == "relation" else numbers
        if "mat3x3" in made:
            made["mat3x3"] = made["mat3x3"].reshape(3, 3).T
        return rerun_class(**made)


class _UnusualError(Exception):
    """Rerun's class must accept or refuse an argument."""


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
    """Return a matrix, given row by row, column by column as float32."""
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
    """Return the four numbers of `rotation`, which must be a quaternion, as float32."""
    if type(rotation) is Quaternion and quaternion is None:
        return rotation._block
    rotation = rerun_value(rotation)
    if type(rotation) is not _quaternion or quaternion is not None:
        raise _UnusualError
    return _vector(rotation.xyzw, 4, _pack4)


def _packed(given: Any) -> bytes:
    """Return the four numbers of a quaternion, an object or plain numbers, as float32."""
    if type(given) is Quaternion:
        return given._block
    given = rerun_value(given)
    return _vector(given.xyzw if type(given) is _quaternion else given, 4, _pack4)


def _relation_byte(relation: Any) -> bytes:
    """Return a relation's byte."""
    if type(relation) is str or type(relation) is _relation:
        known = _relations.get(relation)
        if known is not None:
            return known
    raise _UnusualError


def _remember_numpy(numpy: ModuleType) -> None:
    global _ndarray, _float32, _float64
    _ndarray, _float32, _float64 = numpy.ndarray, numpy.dtype("float32"), numpy.dtype("float64")
    _plain.add(_ndarray)
    _numbers.update(getattr(numpy, name) for name in ("float64", "float32", "int8", "int16", "int32", "uint8"))


def _remember_quaternion(encodings: ModuleType) -> None:
    global _quaternion
    _quaternion = encodings.Quaternion


def _remember_relations(components: ModuleType) -> None:
    global _relation
    _relation = components.TransformRelation
    _relations.update({constant: bytes([constant.value]) for constant in _relation})


when_loaded("numpy", _remember_numpy)
for _module in ENCODINGS:
    when_loaded(_module, _remember_quaternion)
when_loaded("rerun.components", _remember_relations)
