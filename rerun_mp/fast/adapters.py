"""Adapters: from arguments that rerun's constructors convert to arguments that they hand on to a field unchanged.

An adapter takes the given arguments by name. It returns arguments that give the same object, computed as rerun computes
them; or None, or an error of `CONVERSION_ERRORS`, if rerun's class must judge the call. It takes plain numbers, lists
and arrays, so it never runs a program's own code. Pure functions; any thread may call them.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.fast.encoders import FLOATS, LISTS, UnusualError, is_axis_angle

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ADAPTERS"]

Arguments = dict[str, Any]

MIN_ANGLE = 1.19209e-07
"""The smallest half of a field of view, as in rerun."""
MAX_EXACT = 1 << 24
"""Integers and halves up to here are the same as float32."""


def _boxes(given: Arguments) -> Arguments | None:
    """Convert `sizes` and `mins`, or `array`, to `half_sizes` and `centers`."""
    if "rotations" in given:
        return None
    adapted = dict(given)
    if "array" in adapted or "array_format" in adapted:
        if not adapted.keys().isdisjoint(("sizes", "mins", "half_sizes", "centers")):
            return None
        return adapted | _box_array(adapted.pop("array", None), adapted.pop("array_format", None))
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


def _box_array(array: Any, array_format: Any) -> Arguments:
    """Return half sizes and centers of boxes in one of rerun's formats."""
    numpy = sys.modules.get("numpy")  # a program that has an array has loaded numpy
    if numpy is None or type(array) is not numpy.ndarray or array.ndim != 2 or array.shape[1] != 4 or not array.any():
        raise UnusualError
    kind = type(array_format)
    if array.dtype.kind not in "iuf" or kind.__name__ != "Box2DFormat" or not kind.__module__.startswith("rerun."):
        raise UnusualError
    first, second, name = array[:, 0:2], array[:, 2:4], array_format.name
    if name == "XYWH":
        half_sizes = second / 2
        return {"half_sizes": half_sizes, "centers": first + half_sizes}
    if name == "XYXY":
        centers = (first + second) / 2
        return {"half_sizes": second - centers, "centers": centers}
    if name == "XCYCWH":
        return {"half_sizes": second / 2, "centers": first}
    if name == "XCYCW2H2":
        return {"half_sizes": second, "centers": first}
    raise UnusualError


def _transform(given: Arguments) -> Arguments | None:
    """Convert `rotation` by an angle to `rotation_axis_angle`."""
    adapted = dict(given)
    rotation = adapted.pop("rotation", None)
    if not is_axis_angle(rotation) or "quaternion" in adapted or "rotation_axis_angle" in adapted:
        return None
    adapted["rotation_axis_angle"] = rotation
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
    "Transform3D": _transform,
}
"""By the name of the archetype."""
