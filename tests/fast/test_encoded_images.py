"""`EncodedImage`: for any argument, Arrow data, warnings and errors are those of rerun's class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st

import rerun_mp as rr
from tests.fast.arrays import GIVEN, others
from tests.fast.outcomes import assert_same

MEDIA_TYPES = st.sampled_from([None, "image/png", "\ud800", theirs.MediaType.JPEG, 3, ["image/png"], ""])
CONTENTS = np.arange(72, dtype=np.uint8)


@given(GIVEN | st.binary(max_size=9), MEDIA_TYPES, others("path", "opacity", "draw_order"))
def test_arrow_data_warnings_and_errors_equal_reruns(contents: Any, media_type: Any, further: Any) -> None:
    assert_same(rr.EncodedImage, theirs.EncodedImage, contents=contents, media_type=media_type)
    assert_same(rr.EncodedImage, theirs.EncodedImage, contents=contents, media_type=media_type, **further)


def test_wrong_calls_raise_as_in_rerun() -> None:
    assert_same(rr.EncodedImage, theirs.EncodedImage)
    assert_same(rr.EncodedImage, theirs.EncodedImage, 1, 2, 3)
    assert_same(rr.EncodedImage, theirs.EncodedImage, unknown=3)


@pytest.mark.parametrize("contents", [CONTENTS.tobytes(), CONTENTS, CONTENTS[::2]], ids=["bytes", "array", "strided"])
@pytest.mark.parametrize("media_type", ["image/png", theirs.MediaType.PNG])
def test_usual_arguments_are_kept(contents: Any, media_type: Any) -> None:
    made: Any = rr.EncodedImage(contents=contents, media_type=media_type)
    assert made._fast_kind
    assert made._format == ("image/png",)
    assert bytes(made._buffer) == bytes(contents)
    hash(made._format)


def test_contents_are_not_copied_before_the_image_is_logged() -> None:
    contents = CONTENTS.copy()
    made: Any = rr.EncodedImage(contents=contents, media_type="image/png")
    assert np.shares_memory(np.frombuffer(made._buffer, np.uint8), contents)
