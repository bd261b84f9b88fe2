"""`Tensor`: for any argument, Arrow data, warnings and errors are those of rerun's class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st

import rerun_mp as rr
from rerun_mp.encoding.archetypes import arrays_of_blocks
from rerun_mp.fast.images import CHANNEL_DATATYPES
from tests.fast.arrays import GIVEN, others
from tests.fast.outcomes import assert_same, components

NAMES = st.none() | st.lists(st.sampled_from(["x", "ä", "\ud800", None, 3]), max_size=4) | st.just(("a", "b"))


@given(GIVEN, NAMES, others("value_range"))
def test_arrow_data_warnings_and_errors_equal_reruns(data: Any, names: Any, further: Any) -> None:
    assert_same(rr.Tensor, theirs.Tensor, data)
    assert_same(rr.Tensor, theirs.Tensor, data, dim_names=names)
    assert_same(rr.Tensor, theirs.Tensor, data=data, dim_names=names, **further)


def test_wrong_calls_raise_as_in_rerun() -> None:
    assert_same(rr.Tensor, theirs.Tensor)
    assert_same(rr.Tensor, theirs.Tensor, 1, 2, 3)
    assert_same(rr.Tensor, theirs.Tensor, unknown=3)


@pytest.mark.parametrize("name", CHANNEL_DATATYPES)
@pytest.mark.parametrize("names", [None, ["y", "x", "c"], ("ä", "", "c")])
def test_usual_arguments_are_kept(name: str, names: Any) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(name)
    made: Any = rr.Tensor(array, dim_names=names)
    assert made._fast_kind
    assert made._format == ((2, 3, 4), name, None if names is None else tuple(names))
    assert np.shares_memory(np.frombuffer(made._buffer, np.uint8), array)
    hash(made._format)
    assert components(made) == components(theirs.Tensor(array, dim_names=names))


def test_tensors_of_one_shape_type_and_size_share_a_row_layout() -> None:
    made: list[Any] = [rr.Tensor(np.full((2, 3), n, np.int8)) for n in range(2)]
    assert made[0]._find_row_layout() == made[1]._find_row_layout()
    different: list[Any] = [rr.Tensor(np.zeros((3, 2), np.int8)), rr.Tensor(np.zeros((2, 3), np.uint8))]
    assert not [other for other in different if other._find_row_layout() == made[0]._find_row_layout()]


@pytest.mark.parametrize("names", [None, ["y", "größer"]])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_the_blocks_of_a_tensor_are_the_arrow_data(dtype: str, names: list[str] | None) -> None:
    numbers = np.arange(12).reshape(3, 4).astype(dtype)
    made: Any = rr.Tensor(numbers, dim_names=names)
    layout, blocks = made._as_blocks()
    (array,) = arrays_of_blocks(layout, [bytes(block) for block in blocks])
    (expected,) = theirs.Tensor(numbers, dim_names=names).as_component_batches()
    array.validate(full=True)
    assert array == expected.as_arrow_array()
    assert layout.components[0].name == expected.component_descriptor().component


def test_tensors_of_float16_lie_in_no_table() -> None:
    made: Any = rr.Tensor(np.zeros((2, 3), np.float16))
    assert made._as_columns() is None
