"""`Tensor`: the numbers, kept as a view of the user's array.

The numbers are copied when the tensor is logged, as for images: see `rerun_mp.fast.images`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.catalogue import COMPONENTS
from rerun_mp.fast.images import CHANNEL_DATATYPES, NOTE, bytes_of
from rerun_mp.fast.structures import tensor_blocks
from rerun_mp.fast.text import plain_text
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["TENSOR", "Tensor"]

TENSOR = 9

COLUMNS = columns_layout(
    (
        ListComponent(
            "Tensor:data", "rerun.archetypes.Tensor", "rerun.components.TensorData", COMPONENTS["TensorData"][0]
        ),
    )
)

_ndarray: Any = None
"""Numpy's array type; None until numpy is loaded, and no argument can be an array before."""

_names: dict[type, str] = {}
"""The supported number types: numpy's scalar type -> its name."""


class Tensor(FastArchetype, fast_kind=TENSOR):
    """An array of numbers, with or without names of its dimensions. Any other argument goes to rerun's class.

    Fast attributes: `_buffer`, the numbers as a contiguous memoryview of bytes; `_format`, the shape, the name of the
    number type, and the names of the dimensions or None.
    """

    __slots__ = ("_buffer", "_format")

    _is_blob = True

    _doc_note = NOTE

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
        self._leave_to_rerun(data, dim_names=dim_names, **others)

    __init__.__qualname__ = "TensorExt.__init__"  # appears in error messages, as rerun's does

    def _find_row_layout(self) -> object:
        return TENSOR, self._format, len(self._buffer)

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]] | None:
        # Rerun's readers give tensors of float16 another type if they come from a table.
        return None if self._format[1] == "float16" else self._as_blocks()

    def _as_blocks(self) -> tuple[ColumnsLayout, list[Any]]:
        shape, name, names = self._format
        return COLUMNS, [*tensor_blocks(shape, names, _item_of(name), self._buffer)]

    def _to_rerun(self, rerun_class: Any) -> Any:
        import numpy as np

        shape, name, names = self._format
        return rerun_class(np.frombuffer(self._buffer, name).reshape(shape), dim_names=names)


def _item_of(name: str) -> str:
    """Return the notation of a number type, such as "f4" of "float32"."""
    kind = name.rstrip("0123456789")
    return f"{kind[0]}{int(name[len(kind) :]) // 8}"


def _plain_names(given: Any) -> tuple[str, ...] | None:
    """Return the names of the dimensions; None if rerun's class must judge them."""
    if type(given) not in (list, tuple):
        return None
    names = [plain_text(name, "Text") for name in given if type(name) is str]
    return None if None in names or len(names) != len(given) else tuple(name for name in names if name is not None)


def _remember_numpy(numpy: ModuleType) -> None:
    global _ndarray
    _ndarray = numpy.ndarray
    _names.update({getattr(numpy, name): name for name in CHANNEL_DATATYPES})


when_loaded("numpy", _remember_numpy)
