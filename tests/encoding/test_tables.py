"""A table's declaration and plan are read back as they were packed, and any other is refused.

Rows of tables, and damage to them, are tested in tests/collector/drain/test_table_chunks.py.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ListComponent, NumericComponent, ValueKind
from rerun_mp.encoding.tables import (
    MIN_ROWS,
    PLAN,
    SIZE,
    WORD,
    TablePlan,
    TableShape,
    head_bytes,
    pack_head,
    pack_plan,
    pack_text,
    plan_table,
    unpack_head,
    unpack_texts,
)
from rerun_mp.errors import CorruptionError

SLOT_BYTES = 65536
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
NAMES = TEXTS.filter(lambda name: name and "\0" not in name)
FIELDS = ("positions", "colors", "radii")
COLUMN = ListComponent("Points3D:radii", "rerun.archetypes.Points3D", "rerun.components.Radius", '"f4"')


def component(field: str, item: str = "f4", size: int = 3, instances: int = 1) -> NumericComponent:
    return NumericComponent("Points3D", field, "Position3D", item, size, instances)


def components_of(kind: ValueKind) -> st.SearchStrategy[Any]:
    one = st.builds(component, st.just("x"), st.sampled_from(["f4", "u1"]), st.integers(0, 9), st.integers(1, 9))
    if kind == ValueKind.COLUMNS:
        notations = st.sampled_from(['"f4"', '"s"', '["fixed",3,false,"f4"]', '["list",true,"b1"]'])
        name = st.builds(ListComponent, NAMES, st.none() | TEXTS, st.none() | TEXTS, notations)
        return st.lists(name, min_size=1, max_size=3, unique_by=lambda made: made.name).map(tuple)
    if kind == ValueKind.PACKED:
        several = st.lists(one, min_size=1, max_size=len(FIELDS))
        return several.map(lambda made: tuple(c._replace(field=f) for c, f in zip(made, FIELDS, strict=False)))
    return st.just(())


SHAPES = st.sampled_from(ValueKind).flatmap(
    lambda kind: st.builds(
        TableShape,
        st.builds(RecordingKey, TEXTS, TEXTS),
        st.just(kind),
        components_of(kind),
        st.booleans(),
        st.dictionaries(NAMES, st.sampled_from(["sequence", "timestamp", "duration"]), max_size=3).map(
            lambda kinds: tuple(sorted(kinds.items()))
        ),
        st.integers(1, 1000) if kind == ValueKind.COLUMNS else st.just(0),
    )
)
SHAPE = TableShape(RecordingKey("app", "recording"), ValueKind.SCALARS, (), True, (("step", "sequence"),))


def planned(shape: TableShape) -> TablePlan:
    plan = plan_table(shape, len(pack_head(shape)), SLOT_BYTES, 7, 8)
    assert plan is not None
    return plan


@given(SHAPES)
def test_a_head_is_read_back(shape: TableShape) -> None:
    plan = planned(shape)
    head = pack_head(shape) + pack_plan(plan)
    assert head_bytes(memoryview(head[:8])) == len(head)
    assert unpack_head(memoryview(head.ljust(SLOT_BYTES, b"\xff")), SLOT_BYTES) == (shape, plan)


@given(SHAPES)
def test_a_declaration_is_the_json_that_json_writes(shape: TableShape) -> None:
    (size,) = SIZE.unpack_from(pack_head(shape))
    text = pack_head(shape)[SIZE.size : SIZE.size + size].decode()
    fields = [
        *shape.recording,
        shape.value_kind,
        shape.components,
        shape.has_log_time,
        shape.timelines,
        shape.row_bytes,
    ]
    assert text == json.dumps(fields, separators=(",", ":"))


@given(SHAPES)
def test_the_regions_of_a_plan_are_aligned_and_do_not_overlap(shape: TableShape) -> None:
    plan = planned(shape)
    rows = plan.capacity
    assert rows >= MIN_ROWS
    bounds = [
        (len(pack_head(shape)), PLAN.size),
        (plan.clock, WORD * rows),
        (plan.entity, 2 * rows),
        (plan.timelines, WORD * rows * len(shape.timelines)),
        (plan.values, (4 * shape.columns if plan.heap else shape.width or WORD) * rows),
        (plan.levels, 2 * rows if shape.value_kind == ValueKind.LEVELLED_TEXT else 0),
        (plan.heap, plan.heap_bytes),
        (plan.dictionary, SLOT_BYTES - plan.dictionary),
    ]
    used = [(begin, size) for begin, size in bounds if size]
    assert not [begin for begin, _ in used if begin % WORD]
    assert all(begin + size <= after for (begin, size), (after, _) in itertools.pairwise(used))


def test_a_shape_of_which_few_rows_would_fit_has_no_plan() -> None:
    wide = SHAPE._replace(value_kind=ValueKind.PACKED, components=(component("mesh", size=4000),))
    assert plan_table(wide, len(pack_head(wide)), SLOT_BYTES, 0, 0) is None


@pytest.mark.parametrize(
    "shape",
    [
        SHAPE._replace(components=(component("x"),)),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.PACKED, components=(component("x"), component("x"))),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, components=(COLUMN,)),
        SHAPE._replace(row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, components=(COLUMN, COLUMN), row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, components=(COLUMN._replace(type='"f5"'),), row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, components=(COLUMN._replace(name=""),), row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.COLUMNS, components=(COLUMN._replace(archetype="\0"),), row_bytes=8),
        SHAPE._replace(value_kind=ValueKind.PACKED, components=(component("x", item="f8"),)),
        SHAPE._replace(value_kind=ValueKind.PACKED, components=(component("no name"),)),
        SHAPE._replace(value_kind=ValueKind.PACKED, components=(component("x", instances=0),)),
        SHAPE._replace(timelines=(("step", "something"),)),
        SHAPE._replace(timelines=(("", "sequence"),)),
        SHAPE._replace(timelines=(("\0", "sequence"),)),
        SHAPE._replace(recording=RecordingKey("\ud800", "recording")),
    ],
)
def test_an_impossible_shape_is_refused(shape: TableShape) -> None:
    with pytest.raises(CorruptionError, match=r"table|type of a component"):
        unpack_head(memoryview((pack_head(shape) + pack_plan(planned(SHAPE))).ljust(SLOT_BYTES)), SLOT_BYTES)


@pytest.mark.parametrize("field", range(9))
def test_a_plan_that_does_not_match_its_shape_is_refused(field: int) -> None:
    plan = list(planned(SHAPE))
    plan[field] += 8
    with pytest.raises(CorruptionError, match="a table's plan does not match its shape"):
        unpack_head(memoryview((pack_head(SHAPE) + PLAN.pack(*plan)).ljust(SLOT_BYTES)), SLOT_BYTES)


@given(st.lists(TEXTS), st.binary(max_size=9))
def test_texts_are_read_back_whatever_follows_them(texts: list[str], rest: bytes) -> None:
    entries = [pack_text(text.encode()) for text in texts]
    dictionary = b"".join(entries)
    found, ends = unpack_texts(memoryview(dictionary + rest), len(texts))
    assert found == texts
    assert ends == [len(b"".join(entries[: number + 1])) for number in range(len(texts))]


@pytest.mark.parametrize("damaged", [b"", b"\x05", b"\x05\x00abc", pack_text(b"\xff")])
def test_a_damaged_dictionary_is_refused(damaged: bytes) -> None:
    with pytest.raises(CorruptionError, match="a table's dictionary"):
        unpack_texts(memoryview(damaged), 1)
