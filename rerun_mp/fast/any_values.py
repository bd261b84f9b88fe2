"""`AnyValues` and `DynamicArchetype`: components of any names, whose types rerun remembers.

Rerun keeps the Arrow type of each such component in a registry, and converts later values to that type. So the first
values of a component go to rerun's class, which also registers the type. Values that have this type already, judged by
rerun's registry at each call, are encoded here. Any thread may call.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.encoders import CONVERSION_ERRORS, LISTS, UnusualError, encoder
from rerun_mp.fast.general import GENERAL, as_columns, find_row_layout
from rerun_mp.hooks.when_loaded import when_loaded
from rerun_mp.shm.interruptions import is_own

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

__all__ = ["AnyValues", "DynamicArchetype", "registered_types"]

MAX_KNOWN = 1024
"""Upper bound of remembered components, and of remembered layouts; all are forgotten beyond it."""

_registry: Any = None
"""Rerun's registry: descriptor -> type. None until rerun is loaded, or if this release has another kind of registry."""
_arrow_type_only: Any = None
"""Rerun's class of entries that hold an Arrow type alone."""

_descriptors: dict[tuple[str | None, str], Any] = {}
"""By the archetype and the name of the component."""
_layouts: dict[tuple[Any, ...], tuple[ColumnsLayout, list[tuple[Any, Any]]]] = {}
"""(archetype, name and notation of each component) -> layout, and descriptor and registered type of each component."""

_pack_float, _pack_integer = struct.Struct("<d").pack, struct.Struct("<q").pack
_encode_texts = encoder("texts")
_KINDS: dict[type, tuple[str, Any]] = {
    float: ('"f8"', _pack_float),
    int: ('"i8"', _pack_integer),
    bool: ('"b1"', lambda value: b"\1" if value else b"\0"),
    str: ('"s"', _encode_texts),
}
"""Type of a value -> notation and encoder."""
_LISTS: dict[type, tuple[str, Any]] = {
    float: ('"f8"', lambda values: struct.pack(f"<{len(values)}d", *values)),
    int: ('"i8"', lambda values: struct.pack(f"<{len(values)}q", *values)),
    bool: ('"b1"', bytes),
    str: ('"s"', _encode_texts),
}
"""Type of the items of a list -> notation and encoder."""
_NUMBERS = frozenset({"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})


def registered_types() -> dict[Any, Any]:
    """Return rerun's registry itself, descriptor -> type; an empty one if this release has another kind."""
    return {} if _registry is None else _registry


def _encode(archetype: str | None, values: Mapping[str, Any]) -> tuple[ColumnsLayout, list[Any]]:
    """Return layout and blocks of values that have the types that rerun has registered.

    Raises
    ------
    UnusualError, or another error of `CONVERSION_ERRORS`
        If rerun's class must judge the values.
    """
    if _registry is None:
        raise UnusualError
    blocks: list[Any] = []
    key: list[Any] = [archetype]
    for name in sorted(values):
        value = values[name]
        kind = type(value)
        if kind in _KINDS:
            notation, encode = _KINDS[kind]
        elif kind in LISTS and value:
            kinds = set(map(type, value))
            if len(kinds) > 1 or not kinds <= _LISTS.keys():
                raise UnusualError
            notation, encode = _LISTS[kinds.pop()]
        else:
            notation, encode = _array_encoder(value)
        key += name, notation
        if notation == '"s"':
            blocks += encode(value)
        else:
            blocks.append(encode(value))
    known = _layouts.get(tuple(key))
    if known is None or any(_registry.get(descriptor) is not entry for descriptor, entry in known[1]):
        known = _find_layout(key)
    return known[0], blocks


def _array_encoder(value: Any) -> tuple[str, Any]:
    numpy = sys.modules.get("numpy")  # a program that has an array has loaded numpy
    if numpy is None or type(value) is not numpy.ndarray or value.ndim != 1 or not value.size:
        raise UnusualError
    item = f"{value.dtype.kind}{value.dtype.itemsize}"
    if item not in _NUMBERS or not value.dtype.isnative:
        raise UnusualError
    return f'"{item}"', numpy.ndarray.tobytes


def _find_layout(key: list[Any]) -> tuple[ColumnsLayout, list[tuple[Any, Any]]]:
    try:
        from rerun_mp.encoding.component_arrays import arrow_type
    except ImportError:  # this call interrupts that import
        raise UnusualError from None
    archetype, *described = key
    components, entries = [], []
    for name, notation in zip(described[::2], described[1::2], strict=True):
        descriptor = _describe(archetype, name)
        entry = _registry.get(descriptor)
        if type(entry) is not _arrow_type_only or entry.pa_type != arrow_type(notation) or "\0" in name:
            raise UnusualError
        entries.append((descriptor, entry))
        component = descriptor.component
        components.append(ListComponent(component, descriptor.archetype, descriptor.component_type, notation))
    if len(_layouts) >= MAX_KNOWN:
        _layouts.clear()
    made = _layouts[tuple(key)] = columns_layout(tuple(components)), entries
    return made


def _describe(archetype: str | None, name: str) -> Any:
    descriptor = _descriptors.get((archetype, name))
    if descriptor is None:
        from rerun_bindings import ComponentDescriptor

        descriptor = ComponentDescriptor(component=name)
        if archetype is not None:
            descriptor = descriptor.with_builtin_archetype(archetype=archetype)
        if len(_descriptors) >= MAX_KNOWN:
            _descriptors.clear()
        _descriptors[archetype, name] = descriptor
    return descriptor


def _arrays_of(made: Any) -> dict[str, Any]:
    """Return the arrays by the names that the program gave, in its order."""
    from rerun_mp.encoding.archetypes import arrays_of_blocks

    arrays = arrays_of_blocks(made._layout, made._blocks)
    by_name = dict(zip(sorted(made._names), arrays, strict=True))
    return {name: by_name[name] for name in made._names}


def _keep(made: Any, archetype: str | None, values: dict[str, Any]) -> bool:
    """Keep values in an object, encoded. Returns whether they are as usual; rerun's class takes the others."""
    try:
        made._layout, made._blocks = _encode(archetype, values)
    except CONVERSION_ERRORS as error:
        if not is_own(error):
            raise
        return False
    made._names = tuple(values)
    return True


class AnyValues(FastArchetype, fast_kind=GENERAL, home="rerun.any_value"):
    """Components of any names. Values of a type that rerun has not registered go to rerun's class.

    Fast attributes: `_blocks`, `_layout`; `_names`, as the program gave them.
    """

    __slots__ = ("_blocks", "_layout", "_names")

    _fields = ()

    _layout: ColumnsLayout
    _blocks: list[Any]
    _names: tuple[str, ...]

    _find_row_layout = find_row_layout
    _as_columns = as_columns
    __eq__, __hash__ = object.__eq__, object.__hash__  # type: ignore[assignment]  # as rerun's class

    def __init__(self, *args: Any, **values: Any) -> None:
        is_usual = values and not args and "drop_untyped_nones" not in values
        if not (is_usual and _keep(self, None, values)):
            self._leave_to_rerun(*args, **values)

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(**_arrays_of(self))


class DynamicArchetype(FastArchetype, fast_kind=GENERAL, home="rerun.dynamic_archetype"):
    """Components of any names in an archetype. As `AnyValues`.

    Fast attributes: as `AnyValues`, and `_archetype_name`.
    """

    __slots__ = ("_archetype_name", "_blocks", "_layout", "_names")

    _fields = ()

    _layout: ColumnsLayout
    _blocks: list[Any]
    _names: tuple[str, ...]

    _find_row_layout = find_row_layout
    _as_columns = as_columns
    __eq__, __hash__ = object.__eq__, object.__hash__  # type: ignore[assignment]  # as rerun's class

    _archetype_name: str

    def __init__(self, archetype: Any, *args: Any, components: Any = None, **others: Any) -> None:
        is_usual = type(archetype) is str and type(components) is dict and components and not args and not others
        if is_usual and {str}.issuperset(map(type, components)) and _keep(self, archetype, components):
            self._archetype_name = archetype
            return
        if components is not None:
            others["components"] = components
        self._leave_to_rerun(archetype, *args, **others)

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(self._archetype_name, components=_arrays_of(self))


def _remember_registry(module: ModuleType) -> None:
    global _registry, _arrow_type_only
    entries = getattr(getattr(module, "ANY_VALUE_TYPE_REGISTRY", None), "_entries", None)
    if type(entries) is dict:
        _registry, _arrow_type_only = entries, getattr(module, "ArrowTypeOnly", None)


when_loaded("rerun.any_batch_value", _remember_registry)
