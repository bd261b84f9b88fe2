"""`Points3D` and `Points2D`: the positions, kept as a view of the user's array.

A float32 array is not copied before the points are logged, so a change of the array in between is logged. Rerun behaves
the same, because its Arrow arrays point at such an array.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import NumericComponent, RowLayout, ValueKind
from rerun_mp.fast.base import FastArchetype
from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from types import ModuleType


__all__ = ["POINTS_2D", "POINTS_3D", "Points2D", "Points3D"]

POINTS_3D = 3
POINTS_2D = 4

_numpy: Any = None
_ndarray: Any = None
_float32: Any = None
"""Numpy, its array type and its float32; None until numpy is loaded, and no argument can be an array before."""


class Points3D(FastArchetype, fast_kind=POINTS_3D):
    """Positions in space alone. Points with colors, radii or any other argument go to rerun's class.

    Fast attribute: `_buffer`, the bytes of an (n, 3) float32 array as a contiguous memoryview, n > 0.
    """

    __slots__ = ("_buffer",)

    _fields = (
        "positions",
        "radii",
        "colors",
        "labels",
        "show_labels",
        "point_shading",
        "class_ids",
        "keypoint_ids",
    )

    _buffer: memoryview

    def __init__(self, positions: Any, **others: Any) -> None:
        if type(positions) is _ndarray and not others:
            shape = positions.shape
            if len(shape) == 2 and shape[1] == 3 and shape[0]:
                if positions.dtype is _float32 and positions.flags.c_contiguous:
                    self._buffer = positions.data.cast("B")
                    return
                block = _block_of(positions)
                if block is not None:
                    self._buffer = block.data.cast("B")
                    return
        self._leave_to_rerun(positions, **others)

    __init__.__qualname__ = "Points3DExt.__init__"  # appears in error messages, as rerun's does

    def _find_row_layout(self) -> RowLayout:
        points = _expected_points(self._buffer, 3)
        positions = NumericComponent("Points3D", "positions", "Position3D", "f4", 3, points)
        return RowLayout(ValueKind.ARRAY, (positions,))

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(_numpy.frombuffer(self._buffer, _float32).reshape(-1, 3))


class Points2D(FastArchetype, fast_kind=POINTS_2D):
    """Positions in a plane alone. Points with colors, radii or any other argument go to rerun's class.

    Fast attribute: `_buffer`, the bytes of an (n, 2) float32 array as a contiguous memoryview, n > 0.
    """

    __slots__ = ("_buffer",)

    _fields = ("positions", "radii", "colors", "labels", "show_labels", "draw_order", "class_ids", "keypoint_ids")

    _buffer: memoryview

    def __init__(self, positions: Any, **others: Any) -> None:
        if type(positions) is _ndarray and not others:
            shape = positions.shape
            if len(shape) == 2 and shape[1] == 2 and shape[0]:
                if positions.dtype is _float32 and positions.flags.c_contiguous:
                    self._buffer = positions.data.cast("B")
                    return
                block = _block_of(positions)
                if block is not None:
                    self._buffer = block.data.cast("B")
                    return
        self._leave_to_rerun(positions, **others)

    __init__.__qualname__ = "Points2DExt.__init__"

    def _find_row_layout(self) -> RowLayout:
        points = _expected_points(self._buffer, 2)
        positions = NumericComponent("Points2D", "positions", "Position2D", "f4", 2, points)
        return RowLayout(ValueKind.ARRAY, (positions,))

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(_numpy.frombuffer(self._buffer, _float32).reshape(-1, 2))


def _block_of(positions: Any) -> Any:
    """Return the positions as a contiguous float32 array; None if rerun might warn about the conversion."""
    if positions.dtype.type is not _numpy.float64 and positions.dtype.type is not _numpy.float32:
        return None
    try:
        with _numpy.errstate(all="raise"):
            return _numpy.ascontiguousarray(positions, _float32)
    except FloatingPointError:
        return None


def _expected_points(view: memoryview, dimensions: int) -> int:
    """Return the number of points rounded down to a power of 2, so that rows of about one size share a table."""
    return 1 << ((len(view) // (4 * dimensions)).bit_length() - 1)


def _remember_numpy(numpy: ModuleType) -> None:
    global _numpy, _ndarray, _float32
    _numpy, _ndarray, _float32 = numpy, numpy.ndarray, numpy.dtype("float32")


when_loaded("numpy", _remember_numpy)
