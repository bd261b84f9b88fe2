"""`python -m tests.fast.catalogue > rerun_mp/fast/catalogue.py`: describes rerun's archetypes, as rerun itself does.

For each parameter of a constructor it finds out by calls with marks whether rerun hands the argument on unchanged to a
field, and takes the field's component type, Arrow type and converter from the class.
"""

from __future__ import annotations

import inspect
import itertools
import json
import warnings
from enum import Enum
from typing import Any

import attrs
import rerun
import rerun.archetypes
import rerun.components

from rerun_mp.encoding.component_arrays import notation_of

__all__ = ["describe"]

CONVERTERS = {
    "float32:Float32Batch": "numbers",
    "float64:Float64Batch": "numbers",
    "uint16:UInt16Batch": "numbers",
    "uint32:UInt32Batch": "numbers",
    "uint64:UInt64Batch": "numbers",
    "class_id:ClassIdBatch": "numbers",
    "keypoint_id:KeypointIdBatch": "numbers",
    "time_int:TimeIntBatch": "numbers",
    "vec2d:Vec2DBatch": "vectors",
    "vec3d:Vec3DBatch": "vectors",
    "quaternion:QuaternionBatch": "vectors",
    "dvec2d:DVec2DBatch": "vectors",
    "range1d:Range1DBatch": "vectors",
    "uvec3d:UVec3DBatch": "vectors",
    "ivec3d:IVec3DBatch": "vectors",
    "rgba32:Rgba32Batch": "colors",
    "utf8:Utf8Batch": "texts",
    "entity_path:EntityPathBatch": "texts",
    "bool:BoolBatch": "booleans",
    "mat3x3:Mat3x3Batch": "matrix",
    "line_strip2d:LineStrip2DBatch": "strips",
    "line_strip3d:LineStrip3DBatch": "strips",
    "geo_line_string:GeoLineStringBatch": "strips",
    "rotation_axis_angle:RotationAxisAngleBatch": "axis_angles",
    "blob:BlobBatch": "blob",
    "annotation_context:AnnotationContextBatch": "annotations",
    "tensor_data:TensorDataBatch": "bars",
}
"""Module and class of rerun's converter -> the encoder that takes its usual arguments."""


CHECKED = {"BarChart.values": rerun.components.TensorDataBatch}
"""Field -> the converter that rerun calls before it warns of unusual shapes."""

HEAD = '''"""Rerun's archetypes and components, as rerun-sdk describes them.

Made by `python -m tests.fast.catalogue`; do not edit. `general.py` says what the facts mean.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ARCHETYPES", "COMPONENTS"]

# fmt: off
# ruff: noqa: E501
'''


class Mark:
    """An argument that no constructor can convert."""


def describe() -> dict[str, Any]:
    """Return the names that the catalogue defines."""
    components: dict[str, Any] = {}
    archetypes: dict[str, Any] = {}
    for name in sorted(vars(rerun.archetypes)):
        archetype = getattr(rerun.archetypes, name)
        if isinstance(archetype, type) and hasattr(archetype, "archetype") and hasattr(rerun, name):
            archetypes[name] = _archetype(archetype, components)
    for name in ("ImageBuffer", "ImageFormat", "DepthMeter", "Blob", "MediaType", "TensorData"):
        batch = getattr(rerun.components, f"{name}Batch")
        components.setdefault(name, (notation_of(batch._ARROW_DATATYPE), "", "", 0, {}))
    return {"ARCHETYPES": archetypes, "COMPONENTS": dict(sorted(components.items()))}


def _archetype(archetype: Any, components: dict[str, Any]) -> tuple[str | None, ...]:
    parameters = list(inspect.signature(archetype).parameters.values())
    converters = {field.name: getattr(field.converter, "__self__", None) for field in attrs.fields(archetype)}
    needed, fields = _plain(archetype, [p.name for p in parameters if p.default is p.empty], parameters)
    plain = {}
    for parameter, field in fields.items():
        batch = converters[field] or CHECKED.get(f"{archetype.__name__}.{field}")
        if batch is not None and _component(batch, components):
            plain[parameter] = (field, batch._COMPONENT_TYPE.rpartition(".")[2])
    return (
        archetype.__init__.__qualname__,
        " ".join(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD),
        " ".join(p.name for p in parameters if p.kind is p.KEYWORD_ONLY),
        " ".join(p.name for p in parameters if p.default is p.empty),
        " ".join(needed) if set(needed) <= set(plain) else None,
        " ".join(f"{name}={field}:{component}" for name, (field, component) in plain.items()),
        " ".join(field.name for field in attrs.fields(archetype)),
    )


def _plain(archetype: Any, required: list[str], parameters: list[Any]) -> tuple[list[str], dict[str, str]]:
    """Return the parameters that every plain call has, and the field that takes each parameter unchanged."""
    names = [p.name for p in parameters if p.default is p.empty or p.default is None]
    optional = [name for name in names if name not in required]
    ways = ([*required, *more] for n in range(3) for more in itertools.combinations(optional, n))
    needed = next((way for way in ways if _passed_on(archetype, way) is not None), None)
    if needed is None:
        return required, {}
    fields = _passed_on(archetype, needed) or {}
    if len(needed) > len(required) and all(_passed_on(archetype, [*required, name]) for name in optional):
        needed, fields = required, {}  # any one suffices
    for name in names:
        if name not in needed:
            alone = _passed_on(archetype, [*needed, name])
            if alone is not None and set(alone) == {*needed, name}:
                fields |= alone
    for left_out in [None, *fields]:
        given = [name for name in fields if name != left_out or name in needed or len(fields) == 1]
        assert _passed_on(archetype, given) == {name: fields[name] for name in given}, (archetype, left_out)
    return needed, fields


def _passed_on(archetype: Any, given: list[str]) -> dict[str, str] | None:
    """Return the field that takes each given argument unchanged; None if a call takes them otherwise."""
    marks = {name: Mark() for name in given}
    taken: dict[str, Any] = {}

    class Probe(archetype):  # type: ignore[misc]
        """Keeps what the constructor hands on."""

        def __attrs_init__(self, **fields: Any) -> None:
            taken.update(fields)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            Probe(**marks)
        except Exception:  # noqa: BLE001 (whatever it is, the call is not plain)
            return None
    taken = {field: value for field, value in taken.items() if value is not None}
    found = {name: field for field, value in taken.items() for name, mark in marks.items() if value is mark}
    return found if len(found) == len(taken) == len(marks) else None


def _component(batch: Any, components: dict[str, Any]) -> bool:
    """Describe a component type. False: there is no encoder for it."""
    convert = batch._native_to_pa_array
    module = convert.__module__.rpartition(".")[2]
    kind = CONVERTERS.get(f"{module}:{convert.__qualname__.partition('.')[0]}")
    notation = notation_of(batch._ARROW_DATATYPE)
    name = batch._COMPONENT_TYPE.rpartition(".")[2]
    constants = getattr(rerun.components, name, None)
    values: dict[str, int] = {}
    if kind is None and isinstance(constants, type) and issubclass(constants, Enum):
        kind, values = "enumeration", {constant.name: constant.value for constant in constants}
    if kind is None or notation is None:
        return False
    item, size = _numbers(json.loads(notation))
    components[name] = (notation, kind, item, size, values)
    return True


def _numbers(notation: Any) -> tuple[str, int]:
    """Return the numbers in a type, and how many are in a list of fixed size."""
    if isinstance(notation, str):
        return notation, 0
    if notation[0] == "list":
        return _numbers(notation[2])
    return (notation[3], notation[1]) if notation[0] == "fixed" and isinstance(notation[3], str) else ("", 0)


def text() -> str:
    """Return the module's source."""
    lines = [HEAD]
    for name, facts in describe().items():
        lines.append(f"{name}: dict[str, Any] = {{")
        lines += [f"    {key!r}: {value!r}," for key, value in facts.items()]
        lines.append("}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(text())
