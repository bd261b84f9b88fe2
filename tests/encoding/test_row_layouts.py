"""Row layouts: widths of components, and layouts that tell rows of different tables apart."""

from __future__ import annotations

import numpy as np
import pytest

from rerun_mp.encoding.row_layouts import HEAP_KINDS, ITEM_BYTES, TEXT_KINDS, NumericComponent, RowLayout, ValueKind

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
    assert RowLayout(ValueKind.ARRAY, (POSITIONS,)) == RowLayout(ValueKind.ARRAY, (POSITIONS._replace(),))
    assert len({RowLayout(ValueKind.SCALARS), RowLayout(ValueKind.TEXT), RowLayout(ValueKind.ARRAY, (POSITIONS,))}) == 3
