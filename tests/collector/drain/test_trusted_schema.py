"""A schema from shared memory is trusted only if rerun can take chunks of it and its size is bounded."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerun_mp.collector.drain.trusted_schema import trust_schema
from rerun_mp.errors import CorruptionError
from tests.collector.made_frames import TYPES, column, frame_of, schema_of, step


def test_types_without_a_class_in_pyarrow_are_refused() -> None:
    """Found by the fuzzer: for two units of intervals, pyarrow makes arrays that raise a KeyError."""
    schema = frame_of(pa.month_day_nano_interval(), [(1, 2, 3)]).shape.schema
    refused = set()
    for at in range(len(schema)):
        for unit in (0, 1):
            damaged = schema[:at] + bytes([unit]) + schema[at + 1 :]
            try:
                trust_schema(damaged)
            except CorruptionError as error:
                refused |= {name for name in ("month_interval", "day_time_interval") if name in str(error)}
    assert refused == {"month_interval", "day_time_interval"}


@settings(max_examples=200)
@given(data=st.data(), seed=st.sampled_from(TYPES))
def test_damaged_schemas_are_refused_or_still_fit_rerun(data: st.DataObject, seed: tuple[Any, list[Any]]) -> None:
    schema = bytearray(frame_of(*seed).shape.schema)
    for _ in range(data.draw(st.integers(1, 3))):
        schema[data.draw(st.integers(0, len(schema) - 1))] = data.draw(st.integers(0, 255))
    try:
        trusted = trust_schema(bytes(schema))
    except CorruptionError:
        return
    assert all(pa.types.is_list(field.type) for i, field in enumerate(trusted.schema) if i not in trusted.index_columns)


def deep(levels: int) -> Any:
    kind: Any = pa.float64()
    for _ in range(levels):
        kind = pa.list_(kind)
    return kind


@pytest.mark.parametrize(
    "field",
    [
        pa.field("c", pa.float64()),
        pa.field("c", pa.list_(pa.string_view())),
        pa.field("c", pa.list_(pa.map_(pa.int8(), pa.int8()))),
        pa.field("c", deep(40)),
        pa.field("rerun.controls.RowId", pa.list_(pa.int8())),
        pa.field("step", pa.int32(), metadata={"rerun:kind": "index"}),
        pa.field("c", pa.list_(pa.int8()), metadata={b"rerun:component": b"\xff"}),
    ],
    ids=lambda field: str(field.type)[:40],
)
def test_schemas_that_rerun_cannot_take_are_refused(field: Any) -> None:
    with pytest.raises(CorruptionError):
        trust_schema(pa.schema([field]).serialize().to_pybytes())


def test_two_columns_of_one_name_are_refused() -> None:
    twice: Any = pa.schema([pa.field("c", pa.list_(pa.int8()))] * 2)
    with pytest.raises(CorruptionError, match="names its columns"):
        trust_schema(twice.serialize().to_pybytes())


def test_a_component_may_have_the_name_of_a_timeline() -> None:
    """As in `set_time("step", ...)` and `AnyValues(step=...)`."""
    schema = schema_of(step([1]), column(pa.array([[1]]), step([1])[0].name))
    assert trust_schema(schema.serialize().to_pybytes()).index_columns == (0,)


@pytest.mark.parametrize("junk", [b"\xff", b"\0"])
def test_a_field_name_that_rerun_aborts_at_is_refused(junk: bytes) -> None:
    """At a name that is not UTF-8 rerun-sdk aborts the process; it reads a name only up to a zero."""
    array: Any = pa.array([[{"zzzz": 1}]], pa.list_(pa.struct([("zzzz", pa.int8())])))
    schema = schema_of(step([1]), column(array, "c")).serialize().to_pybytes()
    assert schema.count(b"zzzz\0") == 1
    trust_schema(schema)
    with pytest.raises(CorruptionError):
        trust_schema(schema.replace(b"zzzz\0", b"zz" + junk + b"z\0"))
