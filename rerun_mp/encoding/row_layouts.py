"""The layout of one row's values in a table: the kind of the values, and the components among them.

Fast archetypes name their layout; producers and the collector read it from a table's shape.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from rerun_mp.encoding.component_types import parse_type

__all__ = [
    "HEAP_KINDS",
    "ITEM_BYTES",
    "TEXT_KINDS",
    "ColumnsLayout",
    "ListComponent",
    "NumericComponent",
    "RowLayout",
    "ValueKind",
    "columns_layout",
]

ITEM_BYTES = {"f4": 4, "u1": 1}
"""Number type -> its bytes; little-endian."""


class ValueKind(IntEnum):
    """The kind of a row's values, and the columns that hold them."""

    SCALARS = 1
    """f64 x capacity."""
    TEXT = 2
    """u32 x capacity: the end of each text in the heap; then the heap."""
    LEVELLED_TEXT = 3
    """As TEXT, then u16 x capacity: the level's index in the dictionary."""
    COLUMNS = 4
    """u32 x blocks of a row x capacity: the end of each block in the heap; then the heap. Any components, of any number
    of instances a row."""
    PACKED = 5
    """Block x capacity: the components of the layout, one after the other, with a fixed number of instances."""


TEXT_KINDS = (ValueKind.TEXT, ValueKind.LEVELLED_TEXT)
HEAP_KINDS = (*TEXT_KINDS, ValueKind.COLUMNS)
"""Kinds whose values lie in a heap, in the order of the rows."""


class NumericComponent(NamedTuple):
    """A component whose instances are numbers, or lists of numbers of one length."""

    archetype: str
    """Short name, such as "Points3D"."""
    field: str
    """Field of the archetype, such as "positions"."""
    component_type: str
    """Short name, such as "Position3D"."""
    item: str
    """Number type: a key of `ITEM_BYTES`."""
    size: int
    """Numbers in an instance's list; 0: an instance is one number."""
    instances: int
    """Instances in each row."""

    @property
    def width(self) -> int:
        """Bytes of the component in a row."""
        return ITEM_BYTES[self.item] * (self.size or 1) * self.instances


class ListComponent(NamedTuple):
    """A component with any number of instances a row."""

    name: str
    """Such as "Points3D:positions"."""
    archetype: str | None
    """Such as "rerun.archetypes.Points3D"."""
    component_type: str | None
    """Such as "rerun.components.Position3D"."""
    type: str
    """Notation of an instance's type; see `component_types`."""


class RowLayout(NamedTuple):
    """The layout of a row's values in a table. Archetypes that fit a table have one in `_row_layout`."""

    value_kind: ValueKind
    components: tuple[NumericComponent, ...] | tuple[ListComponent, ...] = ()
    """PACKED, COLUMNS: in the order of the components' names. Other kinds: none."""
    row_bytes: int = 0
    """COLUMNS: the least bytes of blocks that a row is expected to have."""


class ColumnsLayout:
    """The components of COLUMNS rows. Each process has one object for equal components, so identity is equality."""

    __slots__ = ("columns", "columns_of_components", "components", "descriptors")

    def __init__(self, components: tuple[ListComponent, ...]) -> None:
        """Use `columns_layout` instead, which returns the same object for equal components."""
        self.components = components
        self.columns_of_components = [parse_type(component.type).columns for component in components]
        self.columns = sum(self.columns_of_components)
        """Number of blocks in a row."""
        self.descriptors: list[object] = []
        """The components' descriptors of rerun, once they are needed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return columns_layout, (self.components,)

    def __deepcopy__(self, memo: object) -> ColumnsLayout:
        return self

    def for_blocks(self, blocks: list[object]) -> RowLayout:
        """Return the layout of rows about as large as this one, so that such rows share a table."""
        size = sum(map(len, blocks))  # type: ignore[arg-type]
        return RowLayout(ValueKind.COLUMNS, self.components, 1 << max(size.bit_length() - 1, 3))


_layouts: dict[tuple[ListComponent, ...], ColumnsLayout] = {}
MAX_LAYOUTS = 4096
"""Upper bound of remembered layouts; beyond it, equal components may have several objects."""


def columns_layout(components: tuple[ListComponent, ...]) -> ColumnsLayout:
    """Return the layout of rows with these components, in the order of their names."""
    found = _layouts.get(components)
    if found is None:
        if len(_layouts) >= MAX_LAYOUTS:
            _layouts.clear()
        found = _layouts.setdefault(components, ColumnsLayout(components))
    return found
