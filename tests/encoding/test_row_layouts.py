"""Row layouts: widths of components, and layouts that tell rows of different tables apart."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from rerun_mp.encoding.row_layouts import (
    HEAP_KINDS,
    ITEM_BYTES,
    TEXT_KINDS,
    ListComponent,
    NumericComponent,
    RowLayout,
    ValueKind,
    columns_layout,
)

POSITIONS = NumericComponent("Points3D", "positions", "Position3D", "f4", 3, 4)


@pytest.mark.parametrize(
    ("component", "width"),
    [
        (POSITIONS, 48),
        (POSITIONS._replace(instances=1), 12),
        (POSITIONS._replace(item="u1", size=0), 4),
        (POSITIONS._replace(item="u1", size=0, instances=1), 1),
    ],
)
def test_a_components_width_is_the_bytes_of_all_its_numbers(component: NumericComponent, width: int) -> None:
    assert component.width == width


def test_numbers_have_the_size_that_numpy_gives_them() -> None:
    assert {item: np.dtype(f"<{item}").itemsize for item in ITEM_BYTES} == ITEM_BYTES


def test_values_of_variable_size_lie_in_a_heap() -> None:
    assert set(ValueKind) - set(HEAP_KINDS) == {ValueKind.SCALARS, ValueKind.PACKED}
    assert set(TEXT_KINDS) < set(HEAP_KINDS)


def test_layouts_are_equal_if_kind_and_components_are() -> None:
    assert RowLayout(ValueKind.PACKED, (POSITIONS,)) == RowLayout(ValueKind.PACKED, (POSITIONS._replace(),))
    assert (
        len({RowLayout(ValueKind.SCALARS), RowLayout(ValueKind.TEXT), RowLayout(ValueKind.PACKED, (POSITIONS,))}) == 3
    )


RADII = ListComponent("Points3D:radii", None, None, '"f4"')
LABELS = ListComponent("Points3D:labels", None, None, '"s"')


def test_equal_components_have_one_layout_of_columns() -> None:
    layout = columns_layout((LABELS, RADII))
    assert layout is columns_layout((LABELS._replace(), RADII))
    assert layout is copy.deepcopy(layout)
    assert layout is pickle.loads(pickle.dumps(layout))
    assert layout is not columns_layout((RADII,))
    assert (layout.columns, layout.columns_of_components) == (3, [2, 1])


@pytest.mark.parametrize(("size", "expected"), [(0, 8), (9, 8), (100, 64), (128, 128)])
def test_rows_of_about_one_size_share_a_layout(size: int, expected: int) -> None:
    assert columns_layout((RADII,)).for_blocks([bytes(size)]) == RowLayout(ValueKind.COLUMNS, (RADII,), expected)
