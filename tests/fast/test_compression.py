"""`compress`: the result is the class that users know under its name, with rerun's data and rerun's warnings."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import rerun as theirs

import rerun_mp as rr
from tests.fast.outcomes import components

RANDOM = np.random.default_rng(0)
COLORS = RANDOM.integers(0, 255, (10, 20, 3), np.uint8)
DEPTHS = RANDOM.integers(0, 65535, (10, 20), np.uint16)


@pytest.mark.parametrize(
    ("name", "pixels", "further", "options"),
    [
        ("Image", COLORS, {}, {"jpeg_quality": 80}),
        ("Image", COLORS[:, :, 0], {}, {}),
        ("Image", COLORS, {"color_model": "BGR"}, {}),
        ("Image", COLORS, {"opacity": 0.5}, {}),
        ("DepthImage", DEPTHS, {"meter": 1000}, {"compress_level": 9}),
        ("DepthImage", DEPTHS.astype(np.uint8), {}, {}),
        ("DepthImage", DEPTHS, {"colormap": "viridis", "depth_range": [0, 5], "draw_order": 1.0, "meter": 0.1}, {}),
        ("DepthImage", DEPTHS, {"point_fill_ratio": 0.5}, {}),
    ],
)
def test_a_compressed_image_has_the_class_that_users_compare_with(
    name: str, pixels: Any, further: dict[str, Any], options: dict[str, Any]
) -> None:
    result = getattr(rr, name)(pixels, **further).compress(**options)
    assert type(result) is getattr(rr, f"Encoded{name}")
    expected = getattr(theirs, name)(pixels, **further).compress(**options)
    assert components(result) == components(expected)
    assert isinstance(result, type(expected))
    assert result == expected


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("Image", np.zeros((10, 20, 4), np.uint8)),
        ("Image", COLORS.astype(np.uint16)),
        ("Image", COLORS.astype(np.float32)),
        ("DepthImage", DEPTHS.astype(np.float32)),
        ("DepthImage", DEPTHS.astype(np.uint32)),
    ],
)
def test_an_image_that_cannot_be_compressed_is_returned_after_reruns_warning(name: str, pixels: Any) -> None:
    image = getattr(rr, name)(pixels)
    with pytest.warns(theirs.error_utils.RerunWarning, match="compress") as warned:
        assert image.compress() is image
    assert type(image) is getattr(rr, name)
    assert [one.filename for one in warned] == [__file__]
    with pytest.warns(theirs.error_utils.RerunWarning) as theirs_warned:
        getattr(theirs, name)(pixels).compress()
    assert [str(one.message) for one in warned] == [str(one.message) for one in theirs_warned]


def test_strict_mode_raises_as_in_rerun() -> None:
    rr.set_strict_mode(True)
    try:
        with pytest.raises(ValueError, match="Cannot JPEG compress"):
            rr.Image(COLORS.astype(np.uint16)).compress()
    finally:
        rr.set_strict_mode(False)


def test_signature_and_docstring_are_reruns() -> None:
    for name in ("Image", "DepthImage"):
        ours, reruns = getattr(rr, name).compress, getattr(theirs, name).compress
        assert inspect.signature(ours) == inspect.signature(reruns)
        assert ours.__doc__ == reruns.__doc__
        assert inspect.signature(getattr(rr, name)(DEPTHS).compress).parameters.keys() == (
            inspect.signature(reruns).parameters.keys() - {"self"}
        )


def test_compressing_keeps_the_image_fast_and_reads_its_array_again() -> None:
    pixels = COLORS.copy()
    image = rr.Image(pixels)
    image.compress()
    pixels[:] = 7
    assert components(image) == components(theirs.Image(pixels))


def test_an_image_that_was_read_can_be_compressed() -> None:
    image = rr.Image(COLORS)
    assert image.buffer is not None
    assert type(image.compress()) is rr.EncodedImage
    assert type(rr.Image.compress(theirs.Image(COLORS))) is rr.EncodedImage
