"""Types of components whose instances lie in a table as columns of bytes.

A type is written as a short JSON text, its *notation*, which a table's declaration holds::

    "f4"                                    numbers: f2 f4 f8, i1 to i8, u1 to u8; "b1" is a boolean
    "s"  "z"                                texts, and strings of bytes
    ["fixed", 3, false, "f4"]               lists of three numbers that must not be null
    ["list", false, "u1"]                   lists of any length
    ["struct", [["axis", false, ...], ...]] structures: name, whether it may be null, and type of each field
    ["union", [["F32", false, ..., 10], ...]]  one of several types: as above, and the number of each; "n" is none

The instances of a component in one row are a few *blocks* of bytes, one for each column of the type:

========== =====================================================================
number     the numbers
boolean    one byte each, 0 or 1
text       the lengths as u32; then the bytes
fixed list the blocks of the items
list       the lengths as u32; then the blocks of the items
structure  the blocks of each field; before those of a field that may be null, one byte for each instance: is it there?
union      the number of the type of each instance, one byte; then the blocks of each type
========== =====================================================================

Pure functions without Arrow; any thread of any process may call them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from rerun_mp.errors import CorruptionError

__all__ = ["BYTES_OF_NUMBERS", "ComponentType", "Field", "parse_type"]

BYTES_OF_NUMBERS = {f"{kind}{size}": size for kind in "iu" for size in (1, 2, 4, 8)} | {"f2": 2, "f4": 4, "f8": 8}
"""Notation of a number -> its bytes; little-endian."""
MAX_DEPTH = 8
MAX_COLUMNS = 64
MAX_FIXED = 1 << 16
"""Upper bounds of a valid type."""


class Field(NamedTuple):
    """A field of a structure, or the items of a list."""

    name: str
    is_nullable: bool
    type: ComponentType
    code: int = -1
    """Number of a type in a union."""


class ComponentType(NamedTuple):
    """A parsed type."""

    kind: str
    """A number's notation, "b1", "s", "z", "n", "fixed", "list", "struct" or "union"."""
    size: int
    """Items of a fixed list; 0 for other kinds."""
    fields: tuple[Field, ...]
    """Items of a list, fields of a structure, or types of a union."""
    columns: int
    """Number of blocks in a row."""
    unit: int
    """Bytes of the first block for each instance."""


@lru_cache(maxsize=1024)
def parse_type(notation: str) -> ComponentType:
    """Return the type that a notation describes.

    Raises
    ------
    CorruptionError
        If it describes none, or one that is too large.
    """
    try:
        found = _parse(json.loads(notation), MAX_DEPTH)
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptionError(f"{notation!r} is no type of a component: {error}") from error
    if found.columns > MAX_COLUMNS:
        raise CorruptionError(f"a type of a component has {found.columns} columns")
    return found


def _parse(given: Any, depth: int) -> ComponentType:
    if isinstance(given, str) and given in BYTES_OF_NUMBERS:
        return ComponentType(given, 0, (), 1, BYTES_OF_NUMBERS[given])
    if given == "b1":
        return ComponentType(given, 0, (), 1, 1)
    if given in ("s", "z"):
        return ComponentType(given, 0, (), 2, 4)
    if depth == 0:
        raise ValueError(given)
    if not isinstance(given, list) or not given:
        raise ValueError(given)
    kind, *rest = given
    if kind == "list":
        is_nullable, items = rest
        item = Field("item", bool(is_nullable), _parse(items, depth - 1))
        return ComponentType(kind, 0, (item,), 1 + item.type.columns, 4)
    if kind == "fixed":
        size, is_nullable, items = rest
        item = Field("item", bool(is_nullable), _parse(items, depth - 1))
        if type(size) is not int or not 1 <= size < MAX_FIXED or item.type.unit * size >= 1 << 20:
            raise ValueError(given)
        return ComponentType(kind, size, (item,), item.type.columns, item.type.unit * size)
    if kind == "struct":
        (named,) = rest
        fields = tuple(Field(_checked_name(name), bool(null), _parse(items, depth - 1)) for name, null, items in named)
        if not fields:
            raise ValueError(given)
        columns = sum(field.type.columns + field.is_nullable for field in fields)
        return ComponentType(kind, 0, fields, columns, 1 if fields[0].is_nullable else fields[0].type.unit)
    if kind == "union":
        (named,) = rest
        types = tuple(
            Field(_checked_name(name), bool(null), NOTHING if items == "n" else _parse(items, depth - 1), int(code))
            for name, null, items, code in named
        )
        codes = {field.code for field in types}
        if not types or len(codes) != len(types) or not all(0 <= code < 128 for code in codes):
            raise ValueError(given)
        return ComponentType(kind, 0, types, 1 + sum(field.type.columns for field in types), 1)
    raise ValueError(given)


NOTHING = ComponentType("n", 0, (), 0, 0)
"""A type of a union that has no values. Elsewhere, it would carry any number of elements in no bytes."""


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or "\0" in name:
        raise ValueError(name)
    name.encode()
    return name
