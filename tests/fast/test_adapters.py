"""Adapted arguments: Arrow data, warnings and errors are those of rerun's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st

import rerun_mp as rr
from tests.fast.arguments import argument
from tests.fast.outcomes import outcome

FLAT = np.arange(10, dtype=np.float32).reshape(5, 2)
BOXES = np.arange(1, 13, dtype=np.float64).reshape(3, 4) / 3
FORMATS = ("XYWH", "XYXY", "XCYCWH", "XCYCW2H2")
USUAL: list[tuple[str, dict[str, Any]]] = [
    ("Boxes2D", {"mins": FLAT, "sizes": FLAT}),
    ("Boxes2D", {"mins": FLAT.tolist(), "half_sizes": FLAT.astype("f8"), "labels": "a"}),
    ("Boxes3D", {"sizes": [[1, 2, 3]], "centers": [[1, 2, 3]]}),
    *(("Boxes2D", {"array": BOXES, "array_format": theirs.Box2DFormat[name]}) for name in FORMATS),
    ("Boxes2D", {"array": BOXES.astype("i8"), "array_format": theirs.Box2DFormat.XYWH}),
    ("Transform3D", {"rotation": theirs.RotationAxisAngle([0, 0, 1], radians=1.0), "translation": [1, 2, 3]}),
    ("Pinhole", {"focal_length": 500.0, "width": 641, "height": 480}),
    ("Pinhole", {"focal_length": [500.0, 3], "resolution": [640.3, 480], "image_plane_distance": 2.0}),
    ("Pinhole", {"focal_length": 3, "principal_point": (5, 6), "color": [1, 2, 3]}),
    ("Pinhole", {"fov_y": 0.5, "aspect_ratio": 1.7}),
    ("Pinhole", {"image_from_camera": np.eye(3), "width": 640, "height": 480}),
]

NUMBERS: Any = st.none() | st.floats(0.1, 1e9) | st.integers(-1, 10**9) | st.just(np.float32(0.1))
PAIRS = st.none() | st.tuples(NUMBERS, NUMBERS) | st.lists(st.integers(1, 999), min_size=2, max_size=2)


def boxes(name: str, dimensions: int) -> Any:
    """Return a strategy of calls."""
    vectors = argument(f"HalfSize{dimensions}D")
    names = ("sizes", "mins", "half_sizes", "centers")
    return st.tuples(st.just(name), st.fixed_dictionaries({}, optional=dict.fromkeys(names, vectors)))


NAMED = {
    **dict.fromkeys(("width", "height", "fov_y", "aspect_ratio"), NUMBERS),
    **dict.fromkeys(("resolution", "principal_point"), PAIRS),
    "focal_length": NUMBERS | PAIRS,
    "image_from_camera": argument("PinholeProjection"),
}
CALLS = (
    boxes("Boxes2D", 2) | boxes("Boxes3D", 3) | st.tuples(st.just("Pinhole"), st.fixed_dictionaries({}, optional=NAMED))
)


@given(CALLS)
@pytest.mark.filterwarnings("ignore")
def test_arrow_data_warnings_and_errors_equal_reruns(call: tuple[str, dict[str, Any]]) -> None:
    assert_equal(*call)


@pytest.mark.parametrize(("name", "arguments"), USUAL)
def test_usual_arguments_are_fast(name: str, arguments: dict[str, Any]) -> None:
    assert getattr(rr, name)(**arguments)._fast_kind
    assert_equal(name, arguments)


def assert_equal(name: str, arguments: dict[str, Any]) -> None:
    """Assert that the outcome of a call is the same as with rerun, strict or not."""
    for strict in (False, True):
        mine = outcome(lambda: getattr(rr, name)(**arguments), strict=strict)
        its = outcome(lambda: getattr(theirs, name)(**arguments), strict=strict)
        assert mine[:2] == its[:2]
