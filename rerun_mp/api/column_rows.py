"""Rows of any components on their way into a table: several archetypes of one call, static data, Arrow arrays.

A row of a fast archetype lies in a table as it is. This module brings other rows into the same form, a `ColumnRow`:

- several fast archetypes in one call: their blocks, in the order of the components' names (`combined`);
- arrays of rerun's own objects, or of any object with `as_component_batches()`: their bytes (`row_of_arrays`).

A table takes a slot of the ring, so the first few rows of a layout are frames (`is_frequent`). A frame needs pyarrow,
which takes 0.1 s to load: the first layouts of a program that has not loaded it get tables at once.

Any thread may call.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.base import FastMeta
from rerun_mp.fast.constants import CONSTANTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun import ComponentDescriptor

    from rerun_mp.api.state import RecordingState

__all__ = ["ColumnRow", "blocks_of_call", "combined", "is_frequent", "row_of_arrays", "small_blob"]

FRAMES_FIRST = 4
"""Rows of a layout that go into frames before a table is opened for it."""
MAX_EARLY = 16
"""Layouts of a recording that get a table at their first row, while the process has not loaded pyarrow."""
MAX_SMALL_BLOB_BYTES = 32 * 1024
"""Bytes of an image or tensor up to which it lies in a table."""
MAX_REMEMBERED = 1024
"""Upper bound of remembered combinations, and of remembered kinds of arrays; all are forgotten beyond it."""


class ColumnRow:
    """A row in the form of a general fast archetype."""

    __slots__ = ("_blocks", "_layout")

    def __init__(self, layout: ColumnsLayout, blocks: list[Any]) -> None:
        self._layout = layout
        self._blocks = blocks

    def _find_row_layout(self) -> ColumnsLayout:
        return self._layout


_combinations: dict[tuple[ColumnsLayout, ...], tuple[ColumnsLayout, list[int]] | None] = {}
"""Layouts of the archetypes of a call -> the layout of the row, and the order of the blocks. None: they overlap."""

Known = tuple[list[Any], "ColumnsLayout | None", "list[tuple[int, str]]"]
"""Types of the arrays, their layout, and index and notation of each array in the order of the layout."""
_known_arrays: dict[tuple[Any, ...], list[Known]] = {}
"""By the descriptors."""


def is_frequent(state: RecordingState, layout: object, *, static: bool) -> bool:
    """Count a row of a layout, and return whether such rows are frequent enough for a table."""
    key = (layout, static)
    rows = state.rows_of_layouts.get(key, 0)
    if rows >= FRAMES_FIRST:
        return True
    if "pyarrow" not in sys.modules and len(state.rows_of_layouts) < MAX_EARLY:
        state.rows_of_layouts[key] = FRAMES_FIRST
        return True
    if len(state.rows_of_layouts) >= MAX_REMEMBERED:
        state.rows_of_layouts.clear()
    state.rows_of_layouts[key] = rows + 1
    return False


def combined(entity: Any, extra: Sequence[Any], *, in_table: bool = True) -> Any:
    """Return the row of several archetypes; None if one of them is no fast one, or a component occurs twice.

    Not `in_table`: the row goes into a frame, which can hold more types.
    """
    layouts = []
    blocks: list[Any] = []
    for one in (entity, *extra):
        if type(type(one)) is not FastMeta or not one._fast_kind:
            return None
        row = one._as_columns() if in_table else one._as_blocks()
        if row is None:
            return None
        layouts.append(row[0])
        blocks += row[1]
    key = tuple(layouts)
    if key not in _combinations:
        if len(_combinations) >= MAX_REMEMBERED:
            _combinations.clear()
        _combinations[key] = _combine(layouts)
    known = _combinations[key]
    if known is None:
        return None
    layout, order = known
    return ColumnRow(layout, [blocks[index] for index in order])


def blocks_of_call(entity: Any, extra: Sequence[Any]) -> tuple[ColumnsLayout, list[Any]] | None:
    """Return layout and blocks of the row of a call; None if anything in it is no fast archetype."""
    if extra:
        row = combined(entity, extra, in_table=False)
        return None if row is None else (row._layout, row._blocks)
    if type(type(entity)) is not FastMeta or not entity._fast_kind:
        return None
    found: tuple[ColumnsLayout, list[Any]] | None = entity._as_blocks()
    return found


def small_blob(entity: Any) -> ColumnRow | None:
    """Return the row of a small image or tensor, or of one of rerun's constants; None for anything else."""
    if type(entity) in CONSTANTS:
        row = CONSTANTS[type(entity)](entity)
        return None if row is None else ColumnRow(*row)
    if type(type(entity)) is not FastMeta or not entity._fast_kind or not entity._is_blob:
        return None
    if len(entity._buffer) > MAX_SMALL_BLOB_BYTES:
        return None
    row = entity._as_columns()
    return None if row is None else ColumnRow(*row)


def _combine(layouts: list[ColumnsLayout]) -> tuple[ColumnsLayout, list[int]] | None:
    placed: dict[str, tuple[ListComponent, range]] = {}
    at = 0
    for layout in layouts:
        for component, columns in zip(layout.components, layout.columns_of_components, strict=True):
            if component.name in placed:
                return None
            placed[component.name] = (component, range(at, at + columns))
            at += columns
    inorder = [placed[name] for name in sorted(placed)]
    order = [index for _, indices in inorder for index in indices]
    return columns_layout(tuple(component for component, _ in inorder)), order


def row_of_arrays(descriptors: Sequence[ComponentDescriptor], arrays: Sequence[Any]) -> ColumnRow | None:
    """Return the row of Arrow arrays; None if a table cannot hold it, or a component occurs twice."""
    from rerun_mp.encoding.component_arrays import blocks_of

    key = tuple(descriptors)
    types = [array.type for array in arrays]
    known = _known_arrays.get(key)
    if known is None:
        if len(_known_arrays) >= MAX_REMEMBERED:
            _known_arrays.clear()
        known = _known_arrays.setdefault(key, [])
    found = next((one for one in known if one[0] == types), None)
    if found is None:
        found = _layout_of_arrays(descriptors, types)
        del known[: 1 - 16]
        known.append(found)
    _, layout, order = found
    if layout is None:
        return None
    blocks: list[Any] = []
    for index, notation in order:
        own = blocks_of(notation, arrays[index])
        if own is None:
            return None
        blocks += own
    return ColumnRow(layout, blocks)


def _layout_of_arrays(descriptors: Sequence[ComponentDescriptor], types: list[Any]) -> Known:
    from rerun_mp.encoding.component_arrays import notation_of

    names = [descriptor.component for descriptor in descriptors]
    if len(set(names)) < len(names) or not all(names):
        return types, None, []
    order = []
    components = []
    for name in sorted(names):
        index = names.index(name)
        notation = notation_of(types[index])
        if notation is None or "\0" in name:
            return types, None, []
        order.append((index, notation))
        descriptor = descriptors[index]
        components.append(ListComponent(name, descriptor.archetype, descriptor.component_type, notation))
    return types, columns_layout(tuple(components)), order
