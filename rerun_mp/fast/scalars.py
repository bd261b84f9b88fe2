"""`Scalars`: one number, kept as a Python float."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, RowLayout, ValueKind, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.general import columns_method, encode_in_columns
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EXACT_TYPES", "SCALARS", "Scalars"]

SCALARS = 1

EXACT_TYPES: set[type] = {int}
"""Number types, besides float, that `float()` converts as numpy does. Numpy's types join when numpy is loaded."""


ROW_LAYOUT = RowLayout(ValueKind.SCALARS)
COLUMNS = columns_layout(
    (ListComponent("Scalars:scalars", "rerun.archetypes.Scalars", "rerun.components.Scalar", '"f8"'),)
)

_pack = struct.Struct("<d").pack


class Scalars(FastArchetype, fast_kind=SCALARS):
    """One float64 number. Several numbers are encoded as a general archetype; see `general`.

    Fast attribute: `_value`, a float.
    """

    __slots__ = ("_value",)

    _fields = ("scalars",)
    columns = columns_method("Scalars")

    def _find_row_layout(self) -> RowLayout:
        return ROW_LAYOUT

    _value: float

    def __init__(self, scalars: Any) -> None:
        if type(scalars) is float:
            self._value = scalars
        elif type(scalars) in EXACT_TYPES:
            try:
                self._value = float(scalars)
            except OverflowError:
                encode_in_columns(self, scalars)
        else:
            encode_in_columns(self, scalars)

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        return COLUMNS, [_pack(self._value)]

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(self._value)


def _remember_numpy(numpy: ModuleType) -> None:
    integers = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    EXACT_TYPES.update(getattr(numpy, name) for name in ("float64", "float32", *integers))


when_loaded("numpy", _remember_numpy)
