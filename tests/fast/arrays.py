"""Strategies for the arguments of images, encoded images and tensors: good ones and bad ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rerun_mp.fast.images import CHANNEL_DATATYPES
from tests.fast.outcomes import LAYOUTS, laid_out

__all__ = ["ARRAYS", "GIVEN", "NUMBERS", "others"]

DTYPES = st.sampled_from([*CHANNEL_DATATYPES, ">u2", ">f4", "bool", "q", "complex64"]).map(np.dtype)
SHAPES = st.one_of(
    st.tuples(st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 5)),
    hnp.array_shapes(min_dims=0, max_dims=4, max_side=4),
)
ARRAYS = st.builds(laid_out, st.builds(np.zeros, SHAPES, DTYPES), st.sampled_from(LAYOUTS)) | st.builds(
    laid_out, DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)), st.sampled_from(LAYOUTS)
)
GIVEN = ARRAYS | st.sampled_from([None, "no image", 3, [[1, 2], [3, 4]], b"bytes"])
NUMBERS = st.sampled_from([None, 1, 0.5, 0, -0.0, 1e300, float("nan"), True, np.float32(2), "no number", [1.0]])


def others(*names: str) -> Any:
    """Return a strategy of further arguments, mostly of none."""
    return st.just({}) | st.fixed_dictionaries({}, optional=dict.fromkeys([*names, "unknown"], NUMBERS))
