"""`Scalars`: a number, kept as a Python float. The most frequent thing that anybody logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.tables import RowLayout, ValueKind
from rerun_mp.fast.base import FastArchetype
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["EXACT", "SCALARS", "Scalars"]

SCALARS = 1

EXACT: set[type] = {int}
"""Numbers other than floats, from which `float` makes what numpy makes of them. Numpy's are added when it is loaded."""


class Scalars(FastArchetype, fast_kind=SCALARS):
    """One double-precision number; several, or anything but a plain number, are left to rerun's class.

    Hot slot: `_value`, a float.
    """

    __slots__ = ("_value",)

    _fields = ("scalars",)

    _row_layout = RowLayout(ValueKind.SCALARS)

    _value: float

    def __init__(self, scalars: Any) -> None:
        if type(scalars) is float:
            self._value = scalars
        elif type(scalars) in EXACT:
            try:
                self._value = float(scalars)
            except OverflowError:
                self._leave(scalars)
        else:
            self._leave(scalars)

    def _make(self, theirs: Any) -> Any:
        return theirs(self._value)


def _take_numbers(numpy: ModuleType) -> None:
    integers = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    EXACT.update(getattr(numpy, name) for name in ("float64", "float32", *integers))


when_loaded("numpy", _take_numbers)
