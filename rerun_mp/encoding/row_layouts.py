"""The layout of one row's values in a table: the kind of the values, and the components of numbers among them.

Fast archetypes name their layout; producers and the collector read it from a table's shape.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

__all__ = ["HEAP_KINDS", "ITEM_BYTES", "TEXT_KINDS", "NumericComponent", "RowLayout", "ValueKind"]

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
    ARRAY = 4
    """u32 x capacity: the end of each row's instances in the heap; then the heap. Any number of instances a row."""
    PACKED = 5
    """Block x capacity: the components of the layout, one after the other, with a fixed number of instances."""


TEXT_KINDS = (ValueKind.TEXT, ValueKind.LEVELLED_TEXT)
HEAP_KINDS = (*TEXT_KINDS, ValueKind.ARRAY)
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
    """Instances in each row; in an ARRAY, the least number that a row is expected to have."""

    @property
    def width(self) -> int:
        """Bytes of the component in a row."""
        return ITEM_BYTES[self.item] * (self.size or 1) * self.instances


class RowLayout(NamedTuple):
    """The layout of a row's values in a table. Archetypes that fit a table have one in `_row_layout`."""

    value_kind: ValueKind
    components: tuple[NumericComponent, ...] = ()
    """PACKED: in the order of the fields' names. ARRAY: one. Other kinds: none."""
