"""Compares the fast archetypes with those of an unknown release of rerun-sdk: names, signatures, and a known row.

A release that is tested needs no check. For a newer one, `compat.bridge` calls `differing` when rerun is loaded, and
leaves the archetypes that it names to rerun. Loads rerun, numpy and pyarrow. Any thread may call.
"""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any

from rerun_mp import fast
from rerun_mp.fast import any_values
from rerun_mp.fast.catalogue import ARCHETYPES, COMPONENTS
from rerun_mp.fast.general import GENERAL_NAMES, general_class

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["ANY_NAMES", "SPECIAL", "differing"]

SPECIAL = (
    *("DepthImage", "EncodedImage", "Image", "Scalars", "SegmentationImage", "Tensor", "TextLog", "Transform3D"),
)
"""The fast archetypes with a class of their own."""
ANY_NAMES = {"AnyValues": ["drop_untyped_nones"], "DynamicArchetype": ["archetype", "drop_untyped_nones", "components"]}
"""The fast archetypes of components of any names -> the parameters of rerun's constructor."""
ANY_SAMPLE = {
    "rerun_mp:number": 1.5,
    "rerun_mp:integers": [1, 2],
    "rerun_mp:truth": True,
    "rerun_mp:texts": ["a", "b"],
}
"""Component -> value of the compared row."""
ARGUMENTS = {
    "texts": "a",
    "blob": b"abc",
    "booleans": True,
    "numbers": 1,
    "colors": [1, 2, 3, 4],
    "annotations": [(1, "a")],
    "bars": [1.5, 2.5],
}
"""Kind of an encoder -> an argument that it takes."""


def differing(archetypes: ModuleType) -> list[str]:
    """Return the names of the fast archetypes that differ from those in rerun's module, sorted."""
    found = [name for name in (*SPECIAL, *GENERAL_NAMES) if _differs(name, getattr(archetypes, name, None))]
    return sorted(found + [name for name in ANY_NAMES if _any_differs(name)])


def _differs(name: str, theirs: Any) -> bool:
    if theirs is None:
        return True
    _, positional, keywords, *_, fields = ARCHETYPES[name]
    try:
        return (
            [field.name for field in theirs.__attrs_attrs__] != fields.split()
            or _parameters(theirs) != (positional.split(), keywords.split())
            or any(_row_differs(_fast_class(name), theirs, arguments) for arguments in _samples(name))
        )
    except Exception:  # noqa: BLE001 (an unknown release may raise anything)
        return True


def _any_differs(name: str) -> bool:
    """Return whether an archetype of components of any names differs. Rerun forgets the types of the compared row."""
    import rerun

    registered = any_values.registered_types()
    before = dict(registered)
    theirs = getattr(rerun, name, None)
    arguments = dict(ANY_SAMPLE) if name == "AnyValues" else {"archetype": "rerun_mp", "components": dict(ANY_SAMPLE)}
    try:
        if theirs is None or _parameters(theirs) != (ANY_NAMES[name], []):
            return True
        theirs(**arguments)  # registers the types, without which the fast class leaves the row to rerun
        return _row_differs(getattr(fast, name), theirs, arguments)
    except Exception:  # noqa: BLE001 (an unknown release may raise anything)
        return True
    finally:
        for descriptor in registered.keys() - before.keys():
            del registered[descriptor]


def _fast_class(name: str) -> Any:
    return getattr(fast, name) if name in SPECIAL else general_class(name)


def _parameters(archetype: Any) -> tuple[list[str], list[str]]:
    """Return the names of the constructor's parameters: those that may be positional, and the keywords."""
    found = inspect.signature(archetype).parameters.values()
    return (
        [one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD],
        [one.name for one in found if one.kind is one.KEYWORD_ONLY],
    )


def _samples(name: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments of the calls that are compared."""
    import numpy as np

    special: dict[str, dict[str, Any]] = {
        "DepthImage": {"image": np.ones((2, 3), np.uint16), "meter": 1000.0},
        "EncodedImage": {"contents": b"abc", "media_type": "image/png"},
        "Image": {"image": np.ones((2, 3, 3), np.uint8)},
        "Scalars": {"scalars": 1.5},
        "SegmentationImage": {"image": np.ones((2, 3), np.uint8)},
        "Tensor": {"data": np.ones((2, 3))},
        "TextLog": {"text": "a", "level": "INFO"},
        "Transform3D": {"translation": [1.0, 2.0, 3.0]},
    }
    if name in special:
        yield special[name]
        return
    needed, plain = ARCHETYPES[name][4].split(), ARCHETYPES[name][5].split()
    components = {fact.partition("=")[0]: fact.rpartition(":")[2] for fact in plain}
    arguments = {parameter: _argument(component) for parameter, component in components.items()}
    yield arguments
    if needed:
        yield {parameter: arguments[parameter] for parameter in needed}


def _argument(component: str) -> Any:
    """Return an argument that a fast class encodes itself."""
    _, kind, _, size, values = COMPONENTS[component]
    if kind == "enumeration":
        return next(iter(values))
    if kind in ("vectors", "matrix"):
        numbers = list(range(1, size + 1))
        return [numbers[at : at + 3] for at in range(0, 9, 3)] if kind == "matrix" else [numbers]
    if kind == "strips":
        return [[list(range(size)), list(range(1, size + 1))]]
    if kind == "axis_angles":
        import rerun

        return rerun.RotationAxisAngle([0, 0, 1], radians=1.0)
    return ARGUMENTS[kind]


def _row_differs(mine: Any, theirs: Any, arguments: dict[str, Any]) -> bool:
    from rerun import ComponentDescriptor

    from rerun_mp.encoding.archetypes import arrays_of_blocks, components_of

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made, expected = mine(**arguments), theirs(**arguments)
    row = made._as_columns() if made._fast_kind else None
    descriptors: list[Any] = []
    arrays: list[Any] = []
    if row is None:
        components_of(made, descriptors, arrays)
    else:
        layout, blocks = row
        arrays = arrays_of_blocks(layout, blocks)
        descriptors = [
            ComponentDescriptor(one.name, archetype=one.archetype, component_type=one.component_type)
            for one in layout.components
        ]
    batches = {batch.component_descriptor(): batch.as_arrow_array() for batch in expected.as_component_batches()}
    return dict(zip(descriptors, arrays, strict=True)) != batches
