"""`Points3D` and `Points2D`: the positions, kept as a view of the array that the user gave.

As in rerun, whose Arrow arrays point at a float32 array's own memory, what the user writes into the array before the
points are logged is logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.tables import NumericComponent, RowLayout, ValueKind
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
"""Numpy, its arrays and its float32, once it is loaded; nobody can have given us an array before."""


class Points3D(FastArchetype, fast_kind=POINTS_3D):
    """Positions in space and nothing else; points with colors, radii or labels are left to rerun's class.

    Hot slot: `_buffer`, n x 3 numbers in single precision as a contiguous memoryview of bytes, n > 0.
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
        self._leave(positions, **others)

    __init__.__qualname__ = "Points3DExt.__init__"  # as rerun's error messages have it

    @property
    def _row_layout(self) -> RowLayout:
        return RowLayout(
            ValueKind.ARRAY,
            (NumericComponent("Points3D", "positions", "Position3D", "f4", 3, _expected_points(self._buffer, 3)),),
        )

    def _make(self, theirs: Any) -> Any:
        return theirs(_numpy.frombuffer(self._buffer, _float32).reshape(-1, 3))


class Points2D(FastArchetype, fast_kind=POINTS_2D):
    """Positions in a plane and nothing else; points with colors, radii or labels are left to rerun's class.

    Hot slot: `_buffer`, n x 2 numbers in single precision as a contiguous memoryview of bytes, n > 0.
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
        self._leave(positions, **others)

    __init__.__qualname__ = "Points2DExt.__init__"

    @property
    def _row_layout(self) -> RowLayout:
        return RowLayout(
            ValueKind.ARRAY,
            (NumericComponent("Points2D", "positions", "Position2D", "f4", 2, _expected_points(self._buffer, 2)),),
        )

    def _make(self, theirs: Any) -> Any:
        return theirs(_numpy.frombuffer(self._buffer, _float32).reshape(-1, 2))


def _block_of(positions: Any) -> Any:
    """Return what rerun makes of positions that lie in memory otherwise, or None if it might have to warn."""
    if positions.dtype.type is not _numpy.float64 and positions.dtype.type is not _numpy.float32:
        return None
    try:
        with _numpy.errstate(all="raise"):
            return _numpy.ascontiguousarray(positions, _float32)
    except FloatingPointError:
        return None


def _expected_points(view: memoryview, dimensions: int) -> int:
    """Return how many points such rows are thought to have, so that the rows of a table are of one magnitude."""
    return 1 << ((len(view) // (4 * dimensions)).bit_length() - 1)


def _take_arrays(numpy: ModuleType) -> None:
    global _numpy, _ndarray, _float32
    _numpy, _ndarray, _float32 = numpy, numpy.ndarray, numpy.dtype("float32")


when_loaded("numpy", _take_arrays)
