"""The general fast archetypes: one class for each archetype of `catalogue`, made when a program first names it.

The constructor encodes each argument as the blocks of bytes that a table holds (`encoders`), and keeps them; rerun is
not loaded. The catalogue says which parameters rerun hands on to a field unchanged, and which encoder does what rerun's
converter of that field does. Any other parameter or argument goes to rerun's class.

The constructor of each class is compiled from a text, because a loop over the parameters would take as long as the
encoding. For `Points3D` it begins so::

    def __init__(self, positions=MISSING, *more, radii=None, colors=None, ..., keypoint_ids=None, **others):
        try:
            if radii is None and colors is None and ... and keypoint_ids is None and not others and not more:
                self._blocks = [encode_positions(positions)]
                self._layout = needed_layout
                return
            if keypoint_ids is None and not others and not more:
                given, blocks = 8, []
                if class_ids is not None:
                    given += 1
                    blocks.append(encode_class_ids(class_ids))
                ...

Encoders refuse None and MISSING, so a parameter that the archetype needs is encoded unseen.

The special classes, such as `Transform3D`, keep their most usual arguments in a shorter form. An object that is given
others changes to a sibling class that encodes like a general one (`encode_in_columns`).
"""

from __future__ import annotations

import linecache
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.component_types import parse_type
from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, columns_layout
from rerun_mp.fast.adapters import ADAPTERS
from rerun_mp.fast.base import FastArchetype, FastMeta, left_to_rerun, owned
from rerun_mp.fast.catalogue import ARCHETYPES, COMPONENTS
from rerun_mp.fast.columns import encode_columns
from rerun_mp.fast.encoders import CONVERSION_ERRORS, encoder
from rerun_mp.fast.structures import STRUCTURES
from rerun_mp.hooks.strictness import at_users_line
from rerun_mp.shm.interruptions import is_own

if TYPE_CHECKING:
    from rerun_mp.fast.encoders import Encoder

__all__ = [
    "GENERAL",
    "GENERAL_NAMES",
    "as_columns",
    "columns_method",
    "encode_in_columns",
    "find_row_layout",
    "general_class",
]

GENERAL = 20
"""The number of the general fast classes."""

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "missing", "__slots__": ()})()
"""Default of parameters that rerun's constructor demands."""


class _Parameter:
    """A parameter that a field takes unchanged."""

    def __init__(self, fact: str, archetype: str) -> None:
        self.name, _, rest = fact.partition("=")
        self.field, _, component = rest.partition(":")
        notation, kind, item, size, values = COMPONENTS[component]
        self.component = ListComponent(
            f"{archetype}:{self.field}", f"rerun.archetypes.{archetype}", f"rerun.components.{component}", notation
        )
        self.columns = parse_type(notation).columns
        kind = "media_types" if component == "MediaType" else kind
        self.encoder = _encoder(kind, item, size, values)
        self.may_be_empty = kind not in NEVER_EMPTY


GENERAL_NAMES = frozenset(name for name, facts in ARCHETYPES.items() if facts[4] is not None and facts[5]) - {
    "EncodedImage",
    "Scalars",
    "Tensor",
    "TextLog",
    "Transform3D",
}
"""The archetypes that have a general fast class."""

ATTRIBUTES = ("_blocks", "_layout")
NEVER_EMPTY = frozenset({"blob", "matrix", *STRUCTURES})
"""Kinds of components of which rerun makes an instance also from an empty list."""

_classes: dict[str, Any] = {}
_siblings: dict[Any, Any] = {}
"""By the special class."""
_encoders: dict[tuple[object, ...], Encoder] = {}


def general_class(name: str) -> Any:
    """Return the general fast class of an archetype in `GENERAL_NAMES`."""
    made = _classes.get(name)
    if made is None:
        made = _classes.setdefault(name, _make_class(name))
    return made


def _encoder(kind: str, item: str, size: int, values: dict[str, int]) -> Encoder:
    key = (kind, item, size, *values.items())
    if key not in _encoders:
        _encoders[key] = STRUCTURES.get(kind) or encoder(kind, item, size, values)
    return _encoders[key]


def encode_in_columns(archetype: FastArchetype, *args: Any, **kwargs: Any) -> None:
    """Initialise an object of a special fast class in the form of a general one; else leave it to rerun's class."""
    archetype.__class__ = _sibling_of(type(archetype))
    archetype.__init__(*args, **kwargs)  # type: ignore[misc]


def _sibling_of(special: Any) -> Any:
    made = _siblings.get(special)
    if made is None:
        body = _body(special.__name__) | {"_fast_kind": GENERAL, "_attributes": ATTRIBUTES, "__reduce__": _reduce}
        made = _siblings.setdefault(special, special.sibling(body))
    return made


def _make_class(name: str) -> Any:
    body = _body(name) | {"__slots__": ATTRIBUTES, "_fields": tuple(ARCHETYPES[name][6].split())}
    return FastMeta(name, (FastArchetype,), body, fast_kind=GENERAL)


def _body(name: str) -> dict[str, Any]:
    parameters = sorted(
        (_Parameter(fact, name) for fact in ARCHETYPES[name][5].split()), key=lambda p: p.component.name
    )
    return {
        "__init__": _make_constructor(name, parameters),
        "_find_row_layout": find_row_layout,
        "_as_columns": as_columns,
        "_to_rerun": _to_rerun,
        "columns": columns_method(name),
        "from_fields": classmethod(_fields_constructor(parameters, ARCHETYPES[name][6].split())),
    }


def _fields_constructor(parameters: list[_Parameter], names: list[str]) -> Any:
    """Return the class method `from_fields` of an archetype with fields of these names."""
    by_field = {parameter.field: parameter for parameter in parameters}
    may_clear = by_field.keys() == {*names} and all(parameter.may_be_empty for parameter in parameters)

    def from_fields(cls: Any, *args: Any, clear_unset: Any = False, **fields: Any) -> Any:
        """Update only some fields of the archetype. See rerun's method of this name."""
        try:
            given = {name: value for name, value in fields.items() if value is not None}
            clears = clear_unset is True and may_clear
            is_usual = by_field.keys() >= fields.keys() and not args and (clears or (clear_unset is False and given))
            if is_usual:
                own = [by_field[name] for name in sorted(by_field if clears else given)]
                blocks: list[Any] = []
                for parameter in own:
                    if parameter.field in given:
                        block = parameter.encoder(given[parameter.field])
                        blocks += (block,) if parameter.columns == 1 else block
                    else:
                        blocks += [b""] * parameter.columns
                made = cls.__new__(cls)
                made._blocks, made._layout = blocks, columns_layout(tuple(parameter.component for parameter in own))
                return made
        except CONVERSION_ERRORS as error:
            if not is_own(error):
                raise
        return at_users_line(cls.rerun_class().from_fields, *args, clear_unset=clear_unset, **fields)

    return from_fields


def columns_method(name: str) -> Any:
    """Return the class method `columns` of an archetype."""

    def columns(cls: Any, *args: Any, **fields: Any) -> Any:
        """Return the columns of the archetype's components, for `send_columns`. See rerun's method of this name."""
        if not args and name not in left_to_rerun:
            try:
                made = encode_columns(_fields(name), fields)
            except CONVERSION_ERRORS as error:
                if not is_own(error):
                    raise
                made = None
            if made is not None:
                return made
        return at_users_line(cls.rerun_class().columns, *args, **fields)

    return classmethod(columns)


@cache
def _fields(name: str) -> dict[str, _Parameter]:
    """Return the parameters of an archetype by the field that each becomes."""
    parameters = (_Parameter(fact, name) for fact in ARCHETYPES[name][5].split())
    return {parameter.field: parameter for parameter in parameters}


def _reduce(self: Any) -> Any:
    return _revive_in_columns, (type(self).__bases__[0], self._layout, owned(self._blocks))


def _revive_in_columns(special: Any, layout: ColumnsLayout, blocks: list[Any]) -> Any:
    """Return an object of the sibling of a special fast class. `pickle` calls this."""
    made = special.__new__(special)
    made.__class__ = _sibling_of(special)
    made._layout, made._blocks = layout, blocks
    return made


def find_row_layout(self: Any) -> ColumnsLayout:
    """Return the layout of the row: a method of classes that keep layout and blocks."""
    layout: ColumnsLayout = self._layout
    return layout


def as_columns(self: Any) -> tuple[ColumnsLayout, list[Any]]:
    """Return layout and blocks of the row: a method of classes that keep them."""
    return self._layout, self._blocks


def _to_rerun(self: Any, rerun_class: Any) -> Any:
    from rerun_mp.encoding.archetypes import arrays_of_blocks

    arrays = arrays_of_blocks(self._layout, self._blocks)
    names = [component.name.rpartition(":")[2] for component in self._layout.components]
    made = rerun_class.__new__(rerun_class)
    made.__attrs_clear__()
    for name, array in zip(names, arrays, strict=True):
        setattr(made, name, array)  # attrs runs the field's converter, which keeps an array of the right type
    return made


def _make_constructor(name: str, parameters: list[_Parameter]) -> Any:
    constructor, *texts = ARCHETYPES[name]
    positional, keywords, required, needed = (text.split() for text in texts[:4])
    plain = {parameter.name for parameter in parameters}
    odd = [given for given in [*positional, *keywords] if given not in plain]

    def declared(given: str) -> str:
        return f"{given}={'MISSING' if given in required else 'None'}"

    conditions = [*(f"{given} is None" for given in odd), "not others", "not more"]
    unneeded = [f"{p.name} is None" for p in parameters if p.name not in needed]
    calls = {p.name: f"encode_{number}({p.name})" for number, p in enumerate(parameters)}
    needs = sum(1 << number for number, p in enumerate(parameters) if p.name in needed)
    signature = ", ".join(["self", *map(declared, positional), "*more", *map(declared, keywords), "**others"])
    lines = [f"def __init__({signature}):", "    try:"]
    if needs:
        blocks = ", ".join(f"{'*' * (p.columns > 1)}{calls[p.name]}" for p in parameters if p.name in needed)
        lines += [
            f"        if {' and '.join([*unneeded, *conditions])}:",
            f"            self._blocks = [{blocks}]",
            "            self._layout = needed_layout",
            "            return",
        ]
    lines += [f"        if {' and '.join(conditions)}:", f"            given, blocks = {needs}, []"]
    for number, p in enumerate(parameters):
        call = calls[p.name]
        add = f"blocks.append({call})" if p.columns == 1 else f"blocks += {call}"
        if p.name in needed:
            lines.append(f"            {add}")
        else:
            lines += [
                f"            if {p.name} is not None:",
                f"                given += {1 << number}",
                f"                {add}",
            ]
    lines += [
        "            if given:",
        "                self._layout = layouts[given] if given in layouts else find_layout(given)",
        "                self._blocks = blocks",
        "                return",
        "    except CONVERSION_ERRORS as error:",
        "        if not is_own(error):",
        "            raise",
        "    named = dict(others)",
    ]
    for at, given in enumerate([*positional, *keywords]):
        default = "MISSING" if given in required else "None"
        if at < len(positional):
            lines += [f"    if not more and {given} is not {default}:", f"        named[{given!r}] = {given}"]
        else:
            lines += [f"    if {given} is not {default}:", f"        named[{given!r}] = {given}"]
    adapter = ADAPTERS.get(name)
    if adapter is not None:
        lines += [
            "    if not others and not more:",
            "        try:",
            "            plain = adapt(named)",
            "        except CONVERSION_ERRORS as error:",
            "            if not is_own(error):",
            "                raise",
            "            plain = None",
            "        if plain is not None and plain.keys() != named.keys():",
            "            return __init__(self, **plain)",
        ]
    everything = "".join(f"{given}, " for given in positional)
    lines += [
        "    if more:",
        f"        self._leave_to_rerun({everything}*more, **named)",
        "    else:",
        "        self._leave_to_rerun(**named)",
    ]
    layouts: dict[int, ColumnsLayout] = {}

    def find_layout(given: int) -> ColumnsLayout:
        components = tuple(p.component for number, p in enumerate(parameters) if given >> number & 1)
        layouts[given] = columns_layout(components)
        return layouts[given]

    namespace: dict[str, Any] = {
        "__name__": __name__,
        "MISSING": MISSING,
        "CONVERSION_ERRORS": CONVERSION_ERRORS,
        "is_own": is_own,
        "layouts": layouts,
        "find_layout": find_layout,
        "adapt": adapter,
        "needed_layout": find_layout(needs) if needs else None,
        **{f"encode_{number}": parameter.encoder for number, parameter in enumerate(parameters)},
    }
    source = "\n".join(lines) + "\n"
    path = os.path.join(os.path.dirname(__file__), f"<{name}>")
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    exec(compile(source, path, "exec", dont_inherit=True), namespace)
    made = namespace["__init__"]
    made.__qualname__ = constructor  # appears in error messages, as rerun's does
    return made
