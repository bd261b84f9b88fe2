"""The components of an archetype, as rerun lists them, but without rerun's work at each call.

Rerun lists an archetype's components by walking its fields and building a descriptor for each. For a class that
inherits this walk from rerun's base class, fields and descriptors never change, so this module remembers them. For any
other object with `as_component_batches()`, it calls that method. It uses an iterable of described component batches
directly.

Any thread may call this: a race at worst works out a class's fields twice. A forked child inherits what is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rerun_mp.encoding.blob_components import blob_components, is_blob
from rerun_mp.encoding.component_arrays import array_of
from rerun_mp.encoding.component_types import parse_type
from rerun_mp.shm.interruptions import attribute_of, is_loaded

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

    from rerun_mp.encoding.row_layouts import ColumnsLayout

__all__ = ["arrays_of_blocks", "components_of", "descriptors_of"]

MAX_CLASSES = 1024
"""Maximum number of classes whose fields are remembered; all are forgotten beyond that."""

ComponentFields = tuple[tuple[str, "dict[str, ComponentDescriptor]"], ...]
"""(name, component type -> descriptor) of each field of an archetype class that holds a component."""

_fields_of_classes: dict[type, ComponentFields | None] = {}
"""None: the class lists its components itself, or is no archetype."""


def components_of(given: Any, descriptors: list[ComponentDescriptor], arrays: list[pa.Array]) -> None:
    """Append the descriptors and arrays of `given`, without those that could not make an array.

    Parameters
    ----------
    given
        An object with `as_component_batches()`, such as an archetype, or an iterable of described component batches.
    descriptors, arrays
        The lists to append to.

    Raises
    ------
    TypeError
        If `given` is neither, or yields anything but Arrow arrays.
    AttributeError
        If an element of the iterable is no described component batch.
    """
    if is_blob(given):
        blob_descriptors, blob_arrays = blob_components(given, _ask)
        descriptors.extend(blob_descriptors)
        arrays.extend(blob_arrays)
        return
    is_fast = attribute_of(given, "_fast_kind") and not isinstance(given, type)
    row = given._as_columns() if is_fast else None
    if row is not None:
        layout, blocks = row
        descriptors.extend(descriptors_of(layout))
        arrays.extend(arrays_of_blocks(layout, blocks))
        return
    kind = type(given)
    fields = _fields_of_classes.get(kind) or _component_fields(kind)
    if fields is None:
        for batch in _batches_of(given):
            _append(batch.component_descriptor(), batch.as_arrow_array(), descriptors, arrays)
        return
    for field, known in fields:
        component = getattr(given, field)
        if component is not None:
            component_type = component._COMPONENT_TYPE
            descriptor = known.get(component_type) or _describe(given, field, component_type, known)
            _append(descriptor, component.as_arrow_array(), descriptors, arrays)


def arrays_of_blocks(layout: ColumnsLayout, blocks: list[Any]) -> list[pa.Array]:
    """Return the arrays of one row's components, which point at the blocks."""
    arrays = []
    at = 0
    for component in layout.components:
        kind = parse_type(component.type)
        own = blocks[at : at + kind.columns]
        at += kind.columns
        arrays.append(array_of(component.type, own, len(own[0]) // kind.unit))
    return arrays


def descriptors_of(layout: ColumnsLayout) -> list[Any]:
    """Return the descriptors of a layout's components."""
    if layout.descriptors:
        return layout.descriptors
    # Rerun's native part alone loads in 0.02 s, `rerun` in 0.5 s.
    from rerun_bindings import ComponentDescriptor

    layout.descriptors = [
        ComponentDescriptor(component.name, archetype=component.archetype, component_type=component.component_type)
        for component in layout.components
    ]
    return layout.descriptors


def _ask(archetype: Any) -> tuple[list[ComponentDescriptor], list[pa.Array]]:
    """Return the descriptors and arrays of a blob archetype: equal to those that rerun makes, and without loading it.

    A tensor's array holds a union, whose unused types rerun fills with other bytes. If rerun is loaded, it makes them.
    """
    row = archetype._as_blocks()
    if row is not None and not (is_loaded("rerun") and any("union" in one.type for one in row[0].components)):
        return list(descriptors_of(row[0])), arrays_of_blocks(*row)
    descriptors: list[ComponentDescriptor] = []
    arrays: list[pa.Array] = []
    components_of(archetype.as_component_batches(), descriptors, arrays)
    return descriptors, arrays


def _component_fields(kind: type) -> ComponentFields | None:
    if kind in _fields_of_classes:
        return _fields_of_classes[kind]
    found: ComponentFields | None = None
    as_component_batches = attribute_of(kind, "as_component_batches")
    if as_component_batches is not None:
        from attrs import fields
        from rerun._baseclasses import Archetype

        if as_component_batches is Archetype.as_component_batches:
            found = tuple((field.name, {}) for field in fields(kind) if "component" in field.metadata)
    if len(_fields_of_classes) >= MAX_CLASSES:
        _fields_of_classes.clear()
    _fields_of_classes[kind] = found
    return found


def _describe(
    archetype: Any, field: str, component_type: str, known: dict[str, ComponentDescriptor]
) -> ComponentDescriptor:
    from rerun_bindings import ComponentDescriptor

    component = f"{archetype.archetype_short_name()}:{field}"
    known[component_type] = ComponentDescriptor(
        component, component_type=component_type, archetype=archetype.archetype()
    )
    return known[component_type]


def _batches_of(given: Any) -> Iterable[Any]:
    as_component_batches = attribute_of(given, "as_component_batches")
    if as_component_batches is not None:
        batches: Iterable[Any] = as_component_batches()
        return batches
    if isinstance(given, Iterable):
        return given
    raise TypeError(
        "Expected an object implementing rerun.AsComponents or an iterable of rerun.DescribedComponentBatch, "
        f"but got {type(given)} instead."
    )


def _append(
    descriptor: ComponentDescriptor, array: Any, descriptors: list[ComponentDescriptor], arrays: list[pa.Array]
) -> None:
    if array is None:
        return  # rerun could not convert the value, and has warned about it
    if not isinstance(array, pa.Array):
        kind = type(array)
        raise TypeError(f"Expected instance of pyarrow.lib.Array, got {kind.__module__}.{kind.__qualname__}")
    descriptors.append(descriptor)
    # Rerun drops extension types and keeps their storage.
    arrays.append(array.storage if isinstance(array, pa.ExtensionArray) else array)
