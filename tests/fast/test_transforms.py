"""`Transform3D`: for any argument, Arrow data, warnings and errors are those of rerun's class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import rerun_mp as rr
from rerun_mp.fast.transforms import LAYOUTS, TRANSFORM_3D
from tests.fast.outcomes import LAYOUTS as MEMORY
from tests.fast.outcomes import assert_same, components, laid_out
from tests.harness.rerun_names import encodings

NUMBERS = st.one_of(
    st.floats(width=32),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([np.float64, np.float32, np.float16, np.int8, np.uint8, np.int32, np.int64, np.uint64]).flatmap(
        lambda dtype: hnp.from_dtype(np.dtype(dtype))
    ),
    st.booleans(),
)
DTYPES = st.sampled_from([np.dtype(name) for name in ("f4", "f4", "f8", "f8", ">f4", ">f8", "f2", "i4", "u1", "i8")])


def arrays(*shapes: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Draw arrays, mostly of these shapes."""
    shape = st.sampled_from(shapes) | st.sampled_from(shapes) | hnp.array_shapes(min_dims=0, max_dims=2, max_side=4)
    return st.builds(laid_out, DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, shape)), st.sampled_from(MEMORY))


def vectors(size: int) -> st.SearchStrategy[Any]:
    """Draw values that could pass for `size` numbers."""
    whole = st.lists(st.floats(-1e3, 1e3) | st.integers(-9, 9), min_size=size, max_size=size)
    return st.one_of(
        whole,
        whole.map(tuple),
        st.lists(NUMBERS, min_size=size, max_size=size),
        st.lists(NUMBERS, max_size=size + 1).map(tuple),
        arrays((size,)),
        st.lists(whole, min_size=1, max_size=2),
        st.sampled_from([[], "text", [None] * size, [np.ones(1)] * size, [[1.0]] * size, ["1"] * size, object()]),
    )


QUATERNIONS = vectors(4) | vectors(4).flatmap(
    lambda xyzw: st.builds(lambda: theirs.Quaternion(xyzw=xyzw)) if is_numeric(xyzw) else st.just(xyzw)
)
AXES_AND_ANGLES = st.builds(
    lambda axis, angle: theirs.RotationAxisAngle(axis, radians=angle), st.just([0, 0, 1]), st.floats(width=32)
)
ROWS = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3)
MATRICES = st.one_of(
    vectors(9),
    arrays((3, 3)),
    st.lists(ROWS, min_size=3, max_size=3),
    st.tuples(ROWS.map(tuple), ROWS, ROWS),
    st.lists(st.lists(NUMBERS, min_size=2, max_size=3), min_size=3, max_size=3),
    st.builds(encodings.Mat3x3, ROWS.map(lambda row: [row] * 3)),
)
RELATIONS = st.sampled_from(
    [*theirs.TransformRelation, "ChildFromParent", "parentfromchild", "CHILDFROMPARENT", 1, 2, 3, True, "no", b"x", 1.0]
)
ARGUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "translation": st.none() | vectors(3),
        "rotation": st.none() | QUATERNIONS | AXES_AND_ANGLES,
        "quaternion": st.none() | QUATERNIONS,
        "rotation_axis_angle": st.none() | AXES_AND_ANGLES,
        "scale": st.none() | NUMBERS | vectors(3),
        "mat3x3": st.none() | MATRICES,
        "relation": st.none() | RELATIONS,
        "child_frame": st.none() | st.text(max_size=3),
        "parent_frame": st.none() | st.text(max_size=3),
    },
)
USUAL = st.fixed_dictionaries(
    {},
    optional={
        "translation": vectors(3),
        "quaternion": QUATERNIONS,
        "scale": st.floats() | vectors(3),
        "mat3x3": MATRICES,
        "relation": RELATIONS,
    },
)


def is_numeric(given: Any) -> bool:
    """Return whether numpy converts this to float32 without a warning."""
    try:
        with np.errstate(all="raise"):
            np.asarray(given, np.float32)
    except (TypeError, ValueError, OverflowError, FloatingPointError):
        return False
    return True


@given(ARGUMENTS | USUAL)
@example({})
@example({"translation": [1, 2**60 + 1, 2**53 + 1]})
@example({"translation": [np.float64(1e39), 0, 0]})
@example({"translation": np.array([1e39, 0, 0])})
@example({"scale": True})
def test_arrow_data_warnings_and_errors_equal_reruns(arguments: dict[str, Any]) -> None:
    assert_same(rr.Transform3D, theirs.Transform3D, **arguments)


@given(USUAL)
@pytest.mark.filterwarnings("ignore")
def test_the_fast_attributes_are_the_arrow_data(arguments: dict[str, Any]) -> None:
    made: Any = rr.Transform3D(**arguments)
    if made._fast_kind != TRANSFORM_3D:
        return
    assert made._row_layout in LAYOUTS
    expected = {descriptor[0]: data for descriptor, data in components(theirs.Transform3D(**arguments))}  # type: ignore[index]
    at = 0
    for component in made._row_layout.components:
        kind = pa.uint8() if component.item == "u1" else pa.float32()
        block = made._block[at : at + component.width]
        at += component.width
        array = pa.Array.from_buffers(kind, component.size or 1, [None, pa.py_buffer(block)])
        if component.size:
            item = pa.field("item", kind, nullable=False, metadata={})
            array = pa.FixedSizeListArray.from_arrays(array, type=pa.list_(item, component.size))
        data = expected.pop(f"{component.archetype}:{component.field}")
        assert data.endswith(pa.record_batch([array], names=["component"]).serialize().to_pybytes())
    assert at == len(made._block)
    assert not expected


@pytest.mark.parametrize(
    "arguments",
    [
        {"translation": (1.0, 2, 3)},
        {"translation": np.zeros(3), "quaternion": [0, 0, 0, 1]},
        {"translation": np.zeros(3, np.float32), "mat3x3": np.eye(3)},
        {"mat3x3": [[1, 0, 0], (0, 1, 0), [0, 0, 1.0]]},
        {"mat3x3": np.eye(4)[:3, :3]},
        {"rotation": theirs.Quaternion(xyzw=[0, 0, 0, 1])},
        {"scale": 2, "relation": theirs.TransformRelation.ChildFromParent},
        {"scale": [1, 2, np.float32(3)], "relation": "ParentFromChild"},
    ],
)
def test_usual_arguments_are_kept(arguments: Any) -> None:
    made: Any = rr.Transform3D(**arguments)
    assert made._fast_kind
    assert made == theirs.Transform3D(**arguments)


def test_a_deprecated_argument_goes_to_reruns_class() -> None:
    with pytest.warns(DeprecationWarning, match="from_parent"):
        made: Any = rr.Transform3D(translation=[1, 2, 3], from_parent=True)
    assert made == theirs.Transform3D(translation=[1, 2, 3], relation="ChildFromParent")


@pytest.mark.parametrize("args", [(1,), ([1, 2, 3], [0, 0, 0, 1])])
def test_wrong_calls_raise_as_in_rerun(args: Any) -> None:
    assert_same(rr.Transform3D, theirs.Transform3D, *args)
    assert_same(rr.Transform3D, theirs.Transform3D, unknown=3)
