"""Blocks of bytes and Arrow arrays: each becomes the other without a change."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.encoding.component_arrays import array_of, arrow_type, blocks_of, notation_of
from rerun_mp.encoding.component_types import parse_type
from rerun_mp.errors import CorruptionError
from tests.conftest import RunPython

LEAVES: dict[Any, Any] = {
    pa.float32(): st.floats(width=32, allow_nan=False),
    pa.uint16(): st.integers(0, 65535),
    pa.int64(): st.integers(-9, 9),
    pa.bool_(): st.booleans(),
    pa.string(): st.text(max_size=4),
    pa.binary(): st.binary(max_size=4),
}


@st.composite
def arrays(draw: Any) -> pa.Array:
    """Draw an array of a type that tables hold."""
    kind, values = draw(st.sampled_from([*LEAVES.items()]))
    for wrap in draw(st.lists(st.sampled_from(["list", "fixed", "struct"]), max_size=3)):
        item = pa.field("item", kind, nullable=draw(st.booleans()))
        if wrap == "list":
            kind, values = pa.list_(item), st.lists(values, max_size=3)
        elif wrap == "fixed":
            kind, values = pa.list_(item, 2), st.lists(values, min_size=2, max_size=2)
        else:
            may_be_null = st.none() | values if item.nullable else values
            kind = pa.struct([item.with_name("a"), pa.field("b", pa.float32(), nullable=False)])
            values = st.fixed_dictionaries({"a": may_be_null, "b": st.just(1.0)})
    return pa.array(draw(st.lists(values, max_size=4)), kind)


def test_unions_come_back() -> None:
    kind = pa.dense_union([pa.field("n", pa.null()), pa.field("a", pa.list_(pa.int8())), pa.field("b", pa.string())])
    children = [pa.nulls(1), pa.array([[1, 2], [3]], pa.list_(pa.int8())), pa.array(["x"])]
    codes, offsets = pa.array([1, 0, 2, 1], pa.int8()), pa.array([0, 0, 0, 1], pa.int32())
    array = pa.UnionArray.from_dense(codes, offsets, children, ["n", "a", "b"], [0, 1, 2])
    notation = notation_of(kind)
    assert notation is not None
    blocks = blocks_of(notation, array)
    assert blocks is not None
    back = array_of(notation, [bytes(block) for block in blocks], 4)
    back.validate(full=True)
    assert back.type == kind
    assert back.to_pylist() == array.to_pylist() == [[1, 2], None, "x", [3]]
    with pytest.raises(CorruptionError, match="unknown type"):
        array_of(notation, [b"\7", b"", b"", b"", b""], 1)


@given(arrays())
def test_an_array_comes_back(array: pa.Array) -> None:
    notation = notation_of(array.type)
    assert notation is not None
    blocks = blocks_of(notation, array)
    assert blocks is not None
    kind = parse_type(notation)
    assert len(blocks) == kind.columns
    assert len(blocks[0]) == kind.unit * len(array)
    back = array_of(notation, [bytes(block) for block in blocks], len(array))
    assert back.type == array.type == arrow_type(notation)
    assert back == array
    back.validate(full=True)


@pytest.mark.parametrize(
    "kind",
    [
        pa.null(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.large_string(),
        pa.timestamp("ns"),
        pa.sparse_union([pa.field("a", pa.int8())]),
        pa.list_(pa.field("element", pa.int8())),
        pa.date32(),
        pa.struct([]),
    ],
    ids=str,
)
def test_other_types_have_no_notation(kind: pa.DataType) -> None:
    assert notation_of(kind) is None


@pytest.mark.parametrize(
    "array", [pa.array([1, None]), pa.array([1, 2])[1:], pa.array([[1, None]]), pa.array([None, "a"])]
)
def test_arrays_with_nulls_or_an_offset_are_left_to_arrow(array: pa.Array) -> None:
    notation = notation_of(array.type)
    assert notation is not None
    assert blocks_of(notation, array) is None


@pytest.mark.parametrize(
    ("notation", "blocks", "instances"),
    [
        ('"f4"', [bytes(7)], 2),
        ('"s"', [b"\2\0\0\0", b"a"], 1),
        ('"s"', [b"\2\0\0\0", b"\xff\xff"], 1),
        ('"s"', [b"\xff\xff\xff\xff", b""], 1),
        ('["list",false,"f4"]', [b"\1\0\0\0", bytes(8)], 1),
        ('["fixed",2,false,"f4"]', [bytes(4)], 1),
    ],
)
def test_blocks_that_contradict_each_other_are_noticed(notation: str, blocks: list[bytes], instances: int) -> None:
    with pytest.raises(CorruptionError):
        array_of(notation, blocks, instances)


SLOW_IMPORTS = """
import sys
import numpy as np, pyarrow as pa
from rerun_mp.hooks.forksafe_arrow import hide_pandas
hide_pandas()  # as the collector does
from rerun_mp.encoding.component_arrays import take
taken = take(pa.record_batch({"a": ["x", "y", "z"]}), np.array([2, 0]))
assert taken.to_pydict() == {"a": ["z", "x"]}
print(sorted({"numpy.ma", "pyarrow.compute", "pandas"} & set(sys.modules)))
"""


def test_rows_are_taken_without_slow_imports(run_python: RunPython) -> None:
    assert run_python(SLOW_IMPORTS, fresh=True).check().stdout == "[]\n"
