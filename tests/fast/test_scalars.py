"""`Scalars`: for any argument, Arrow data, warnings and errors are those of rerun's class."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rerun_mp as rr
from tests.fast.outcomes import assert_same, components

NUMBERS = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([np.float64, np.float32, np.float16, np.int8, np.uint8, np.int64, np.uint64]).flatmap(
        lambda dtype: hnp.from_dtype(np.dtype(dtype))
    ),
)
OTHERS = st.one_of(
    st.booleans(),
    st.none(),
    st.text(max_size=3),
    st.complex_numbers(),
    st.lists(st.floats(), max_size=4),
    hnp.arrays(hnp.scalar_dtypes(), hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)),
)


@given(NUMBERS | OTHERS)
def test_arrow_data_warnings_and_errors_equal_reruns(scalars: Any) -> None:
    assert_same(rr.Scalars, theirs.Scalars, scalars)
    assert_same(rr.Scalars, theirs.Scalars, scalars=scalars)


@given(NUMBERS)
def test_the_fast_attribute_is_the_arrow_data(scalars: Any) -> None:
    made: Any = rr.Scalars(scalars)
    if not made._fast_kind:
        assert not isinstance(scalars, float | np.float32)
        return
    assert type(made._value) is float
    expected = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(struct.pack("<d", made._value))])
    ((_, data),) = components(theirs.Scalars(scalars))
    assert data.endswith(pa.record_batch([expected], names=["component"]).serialize().to_pybytes())


@pytest.mark.parametrize("number", [0.5, 3, np.float64(0.5), np.float32(0.5), np.int64(3), np.uint8(3)])
def test_plain_numbers_are_kept(number: Any) -> None:
    made: Any = rr.Scalars(number)
    assert made._fast_kind
    assert made._value == number


@pytest.mark.parametrize("args", [(), (1.0, 2.0)])
def test_wrong_calls_raise_as_in_rerun(args: Any) -> None:
    assert_same(rr.Scalars, theirs.Scalars, *args)
    assert_same(rr.Scalars, theirs.Scalars, *args, color=3)
