"""The components of what `log` is given: as rerun would list them, but without working it out at each call.

Rerun's archetypes list their components by walking their fields and building a descriptor for each. For a class that
leaves this to rerun's base class, the walk always ends in the same fields and descriptors; they are remembered here.
Every other object with `as_component_batches()` is asked; an iterable of described component batches is taken as it
is.

Any thread may call this; the worst that a race does is to work out a plan twice. A forked child inherits the plans.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rerun_mp.encoding.blob_components import blob_components, is_blob

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["components_of"]

MAX_PLANS = 1024

Plan = tuple[tuple[str, "dict[str, ComponentDescriptor]"], ...]
"""Each field of an archetype that holds a component, and its descriptor by the component's type."""

_plans: dict[type, Plan | None] = {}
"""None for classes that list their components themselves, and for what is no archetype."""


def components_of(given: Any, descriptors: list[ComponentDescriptor], arrays: list[pa.Array]) -> None:
    """Append the descriptors and arrays of `given`, without those that could not make an array.

    Parameters
    ----------
    given
        An object with `as_component_batches()`, such as an archetype, or an iterable of described component batches.
    descriptors, arrays
        What to append to.

    Raises
    ------
    TypeError
        If `given` is neither, or makes something else than Arrow arrays.
    AttributeError
        If something in it is no described component batch.
    """
    if is_blob(given):
        described, made = blob_components(given, _ask)
        descriptors.extend(described)
        arrays.extend(made)
        return
    kind = type(given)
    plan = _plans.get(kind) or _plan_of(kind)
    if plan is None:
        for batch in _batches_of(given):
            _append(batch.component_descriptor(), batch.as_arrow_array(), descriptors, arrays)
        return
    for field, known in plan:
        component = getattr(given, field)
        if component is not None:
            component_type = component._COMPONENT_TYPE
            descriptor = known.get(component_type) or _describe(given, field, component_type, known)
            _append(descriptor, component.as_arrow_array(), descriptors, arrays)


def _ask(archetype: Any) -> tuple[list[ComponentDescriptor], list[pa.Array]]:
    """Return what rerun makes of an archetype."""
    descriptors: list[ComponentDescriptor] = []
    arrays: list[pa.Array] = []
    components_of(archetype.as_component_batches(), descriptors, arrays)
    return descriptors, arrays


def _plan_of(kind: type) -> Plan | None:
    if kind in _plans:
        return _plans[kind]
    plan: Plan | None = None
    if hasattr(kind, "as_component_batches"):
        from attrs import fields
        from rerun._baseclasses import Archetype

        if kind.as_component_batches is Archetype.as_component_batches:
            plan = tuple((field.name, {}) for field in fields(kind) if "component" in field.metadata)
    if len(_plans) >= MAX_PLANS:
        _plans.clear()
    _plans[kind] = plan
    return plan


def _describe(
    archetype: Any, field: str, component_type: str, known: dict[str, ComponentDescriptor]
) -> ComponentDescriptor:
    from rerun import ComponentDescriptor

    component = f"{archetype.archetype_short_name()}:{field}"
    known[component_type] = ComponentDescriptor(
        component, component_type=component_type, archetype=archetype.archetype()
    )
    return known[component_type]


def _batches_of(given: Any) -> Iterable[Any]:
    as_component_batches = getattr(given, "as_component_batches", None)
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
        return  # rerun has warned about it when it failed to make it
    if not isinstance(array, pa.Array):
        kind = type(array)
        raise TypeError(f"Expected instance of pyarrow.lib.Array, got {kind.__module__}.{kind.__qualname__}")
    descriptors.append(descriptor)
    # What an extension type adds is not kept by rerun.
    arrays.append(array.storage if isinstance(array, pa.ExtensionArray) else array)
