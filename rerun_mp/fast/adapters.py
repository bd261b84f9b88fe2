"""Adapters: from arguments that rerun's constructors convert to arguments that they hand on to a field unchanged.

An adapter takes the given arguments by name. It returns arguments that give the same object, computed as rerun computes
them; or None, or an error of `CONVERSION_ERRORS`, if rerun's class must judge the call. It takes plain numbers, lists
and arrays, so it never runs a program's own code. Pure functions; any thread may call them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rerun_mp.fast.encoders import FLOATS, LISTS, UnusualError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADAPTERS"]

Arguments = dict[str, Any]

MIN_ANGLE = 1.19209e-07
"""The smallest half of a field of view, as in rerun."""
MAX_EXACT = 1 << 24
"""Integers and halves up to here are the same as float32."""


def _boxes(given: Arguments) -> Arguments | None:
    """Convert `sizes` and `mins` to `half_sizes` and `centers`."""
    if not given.keys().isdisjoint(("array", "array_format", "rotations")):
        return None
    adapted = dict(given)
    sizes, mins = adapted.pop("sizes", None), adapted.pop("mins", None)
    if sizes is not None:
        if "half_sizes" in adapted:
            return None
        adapted["half_sizes"] = _floats(sizes) / 2.0
    if mins is not None:
        if "centers" in adapted or "half_sizes" not in adapted:
            return None
        adapted["half_sizes"] = _floats(adapted["half_sizes"])
        adapted["centers"] = _floats(mins) + adapted["half_sizes"]
    return adapted


def _pinhole(given: Arguments) -> Arguments | None:
    """Convert focal length, principal point and field of view to a matrix."""
    adapted = dict(given)
    resolution = adapted.get("resolution")
    width, height = adapted.pop("width", None), adapted.pop("height", None)
    focal_length, principal_point = adapted.pop("focal_length", None), adapted.pop("principal_point", None)
    fov_y, aspect_ratio = adapted.pop("fov_y", None), adapted.pop("aspect_ratio", None)
    if "camera_xyz" in adapted:
        return None
    if resolution is None and width is not None and height is not None:
        resolution = [width, height]
    elif width is not None or height is not None:
        return None
    if resolution is not None:
        adapted["resolution"] = resolution
    if "image_from_camera" in adapted:
        others = (focal_length, principal_point, fov_y, aspect_ratio)
        return adapted if all(other is None for other in others) else None
    if fov_y is not None and aspect_ratio is not None:
        if resolution is not None or focal_length is not None or {type(fov_y), type(aspect_ratio)} - {int, float}:
            return None
        focal_length = 0.5 / math.tan(max(fov_y * 0.5, MIN_ANGLE))
        adapted["resolution"] = resolution = [aspect_ratio, 1.0]
    if focal_length is None:
        return None
    if principal_point is None:
        if resolution is None:
            return None
        principal_point = [number / 2 for number in _pair(resolution)]
    focal_lengths = (focal_length, focal_length) if type(focal_length) in (int, float) else _pair(focal_length)
    (x, y), (u, v) = focal_lengths, _pair(principal_point)
    adapted["image_from_camera"] = [[x, 0, u], [0, y, v], [0, 0, 1]]
    return adapted


def _pair(given: Any) -> list[float]:
    """Return two numbers."""
    if type(given) not in LISTS or len(given) != 2 or {type(given[0]), type(given[1])} - {int, float}:
        raise UnusualError
    if not all(1 / MAX_EXACT < number < MAX_EXACT for number in given):
        raise UnusualError
    return [*given]


def _floats(given: Any) -> Any:
    """Return an array of float32."""
    import numpy as np

    if type(given) is np.ndarray:
        if given.dtype.kind not in "iuf":
            raise UnusualError
    elif not _is_plain(given):
        raise UnusualError
    with np.errstate(all="raise"):
        return np.asarray(given, dtype=np.float32)


def _is_plain(given: Any) -> bool:
    """Return whether a list holds numbers, or lists of numbers."""
    if type(given) not in LISTS:
        return False
    if given and type(given[0]) in LISTS:
        return all(type(row) in LISTS and FLOATS.issuperset(map(type, row)) for row in given)
    return FLOATS.issuperset(map(type, given))


ADAPTERS: dict[str, Callable[[Arguments], Arguments | None]] = {
    "Boxes2D": _boxes,
    "Boxes3D": _boxes,
    "Pinhole": _pinhole,
}
"""By the name of the archetype."""
