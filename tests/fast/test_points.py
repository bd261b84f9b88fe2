"""`Points3D` and `Points2D`: whatever is given, Arrow data, warnings and errors are those of rerun's classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rerun_mp as rr
from tests.fast.outcomes import LAYOUTS, assert_same, components, laid_out

CLASSES: list[tuple[Any, Any, int]] = [(rr.Points3D, theirs.Points3D, 3), (rr.Points2D, theirs.Points2D, 2)]
DTYPES = st.sampled_from([np.dtype(name) for name in ("f4", "f8", ">f4", ">f8", "f2", "i4", "u1", "i8")])


BLOCKS = st.builds(
    laid_out,
    DTYPES.flatmap(
        lambda dtype: hnp.arrays(
            dtype, st.tuples(st.integers(0, 4), st.sampled_from([2, 3, 3, 1, 4])) | hnp.array_shapes(max_side=3)
        )
    ),
    st.sampled_from(LAYOUTS),
)
LISTS = st.lists(st.lists(st.floats(width=32), min_size=2, max_size=3), max_size=3)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "radii": st.sampled_from([None, 1.0, [1, 2], "no"]),
        "colors": st.sampled_from([None, 0xFF, [[1, 2, 3]], "no color"]),
        "labels": st.sampled_from([None, "a", ["a", "b"]]),
        "show_labels": st.sampled_from([None, True]),
        "class_ids": st.sampled_from([None, 3, [1, 2]]),
        "keypoint_ids": st.sampled_from([None, 3]),
        "point_shading": st.sampled_from([None, "Lit"]),
        "draw_order": st.sampled_from([None, 2.0]),
        "unknown": st.none(),
    },
)


@given(BLOCKS | LISTS | st.none() | st.text(max_size=2), OTHERS)
@pytest.mark.parametrize(("ours", "reruns"), [pair[:2] for pair in CLASSES], ids=["3D", "2D"])
def test_arrow_data_warnings_and_errors_equal_reruns(ours: Any, reruns: Any, positions: Any, others: Any) -> None:
    assert_same(ours, reruns, positions)
    assert_same(ours, reruns, positions=positions)
    assert_same(ours, reruns, positions, **others)


@given(BLOCKS)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ours", "reruns", "dimensions"), CLASSES, ids=["3D", "2D"])
def test_the_fast_attribute_is_the_arrow_data(ours: Any, reruns: Any, dimensions: int, positions: Any) -> None:
    with np.errstate(all="ignore"):
        made = ours(positions)
        if not made._fast_kind:
            return
        view = made._buffer
        assert (view.format, view.ndim, view.c_contiguous) == ("B", 1, True)
        assert len(view) == len(positions) * dimensions * 4
        flat = pa.Array.from_buffers(pa.float32(), len(view) // 4, [None, pa.py_buffer(bytes(view))])
        item = pa.field("item", pa.float32(), nullable=False, metadata={})
        expected = pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(item, dimensions))
        ((_, data),) = components(reruns(positions))
    assert data.endswith(pa.record_batch([expected], names=["component"]).serialize().to_pybytes())


@pytest.mark.parametrize(("ours", "reruns", "dimensions"), CLASSES, ids=["3D", "2D"])
def test_a_float32_array_is_kept_and_others_are_converted(ours: Any, reruns: Any, dimensions: int) -> None:
    block = np.ones((4, dimensions), np.float32)
    assert np.shares_memory(np.frombuffer(ours(block)._buffer, np.float32), block)
    assert bytes(ours(block.astype(np.float64))._buffer) == block.tobytes()
    assert ours(block[::2])._fast_kind
    assert not ours(block[:0])._fast_kind
    assert not ours(block, radii=1)._fast_kind
    assert not ours(block.tolist())._fast_kind


@pytest.mark.parametrize(("ours", "reruns", "dimensions"), CLASSES, ids=["3D", "2D"])
def test_a_later_change_of_the_array_is_logged_as_in_rerun(ours: Any, reruns: Any, dimensions: int) -> None:
    block = np.zeros((4, dimensions), np.float32)
    mine, its = ours(block), reruns(block)
    block[:] = 7
    assert components(mine) == components(its)


@pytest.mark.parametrize(("ours", "reruns", "dimensions"), CLASSES, ids=["3D", "2D"])
def test_wrong_calls_raise_as_in_rerun(ours: Any, reruns: Any, dimensions: int) -> None:
    assert_same(ours, reruns)
    assert_same(ours, reruns, np.zeros((1, dimensions)), 3)
    assert_same(ours, reruns, 3, positions=4)


def test_positions_beyond_float32_warn_as_in_rerun() -> None:
    assert_same(rr.Points3D, theirs.Points3D, np.full((1, 3), 1e300))
