"""Schemas that came out of shared memory: a schema is trusted if rerun can take chunks of it, and its size is bounded.

Types without width (null, structs without fields, lists of size 0) carry any number of elements in no bytes at all.
They are refused, or marked so that each array of a batch is measured after decoding (`trusted_ipc`). Called by the
worker's main thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rerun_mp.collector.drain.arrow_envelope import HEADER_SCHEMA, read_envelope
from rerun_mp.errors import CorruptionError

__all__ = ["TrustedSchema", "trust_schema"]

MAX_DEPTH = 16
"""Maximum levels of nested types."""
MAX_FIELDS = 4096
"""Maximum fields of a schema, nested ones included. rerun's largest archetype has fewer than a hundred."""

INDEX_TYPES = (pa.int64(), pa.timestamp("ns"), pa.duration("ns"))


@dataclass(frozen=True, slots=True)
class TrustedSchema:
    """A schema that passed `trust_schema`, and the properties that decoding depends on."""

    schema: Any
    index_columns: tuple[int, ...]
    has_dictionary: bool
    has_weightless: bool
    """Whether the elements of some type take no space, so that the size of a message does not bound their number."""
    has_required: bool
    """Whether some nested field must not be null."""


UNKNOWN_TO_PYTHON = (21, 22)
"""Ids of Arrow types without an array class in pyarrow, which raises a KeyError for them: intervals of months, and of
days and milliseconds. pyarrow before 22 has no names for them."""


def trust_schema(message: bytes) -> TrustedSchema:
    """Read an encapsulated schema message and check that rerun can take chunks of this schema.

    Raises
    ------
    CorruptionError
        If it is damaged, nested too deep, or not made of timelines and components.
    """
    header, _, end = read_envelope(memoryview(message), 0)
    if header.kind != HEADER_SCHEMA or end != len(message):
        raise CorruptionError(f"the schema of a shape is a message of kind {header.kind} and {end} bytes")
    try:
        schema: Any = pa.ipc.read_schema(pa.py_buffer(message))
        names = schema.names
        walk = _TypeWalk()
        index_columns = []
        for position, column in enumerate(schema):
            _check_name(column.name)
            _check_texts(column)
            walk.visit(column.type, 0)
            kind = (column.metadata or {}).get(b"rerun:kind", b"data")
            if kind == b"index":
                index_columns.append(position)
                name = (column.metadata or {}).get(b"rerun:index_name", column.name)
                if column.type not in INDEX_TYPES or not name:
                    raise CorruptionError(f"timeline {name!r} has type {column.type}")
            elif kind != b"data" or not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
                raise CorruptionError(f"column {column.name!r} of kind {kind!r} has type {column.type}")
            elif not (column.metadata or {}).get(b"rerun:component", column.name):
                raise CorruptionError(f"a component in column {column.name!r} has no name")
    except (pa.ArrowException, ValueError, OSError) as error:
        raise CorruptionError(f"the schema of a shape cannot be read: {error}") from error
    # A component may have the name of a timeline. rerun-sdk silently drops chunks that have only timelines.
    columns = {(position in index_columns, name) for position, name in enumerate(names)}
    if len(columns) != len(names) or "rerun.controls.RowId" in names or len(index_columns) == len(names):
        raise CorruptionError(f"the schema of a shape names its columns {names}")
    return TrustedSchema(schema, tuple(index_columns), walk.has_dictionary, walk.has_weightless, walk.has_required)


def _check_name(name: str) -> None:
    """Refuse a field name for which rerun-sdk aborts the process, or which it reads only up to a zero."""
    # pyarrow decodes names lazily: for invalid UTF-8 it raises UnicodeDecodeError here, where rerun-sdk would abort.
    if "\0" in name:
        raise CorruptionError(f"a field of a schema has the name {name!r}")


def _check_texts(column: Any) -> None:
    # rerun-sdk assumes without a check that metadata is UTF-8.
    for key, value in (column.metadata or {}).items():
        key.decode()
        value.decode()


class _TypeWalk:
    """Visits the types of a schema, and refuses those that rerun does not use and that would need other bounds."""

    def __init__(self) -> None:
        self.has_dictionary = False
        self.has_weightless = False
        self.has_required = False
        self._fields = 0

    def visit(self, kind: Any, depth: int) -> None:
        types = pa.types
        self._fields += 1
        if depth > MAX_DEPTH or self._fields > MAX_FIELDS:
            raise CorruptionError(f"a schema has more than {MAX_DEPTH} levels or {MAX_FIELDS} fields")
        if types.is_dictionary(kind):
            self.has_dictionary = True
            self.visit(kind.value_type, depth + 1)
        elif types.is_fixed_size_list(kind):
            if kind.list_size <= 0:
                raise CorruptionError(f"a schema has lists of fixed size {kind.list_size}")
            self._visit_child(kind.value_field, depth)
        elif types.is_list(kind) or types.is_large_list(kind):
            self._visit_child(kind.value_field, depth)
        elif types.is_struct(kind) or types.is_union(kind):
            if types.is_union(kind) and len(set(kind.type_codes)) != kind.num_fields:
                raise CorruptionError(f"a schema has a union with types {kind.type_codes}")
            self.has_weightless |= kind.num_fields == 0
            for position in range(kind.num_fields):
                self._visit_child(kind.field(position), depth)
        elif types.is_null(kind) or (types.is_fixed_size_binary(kind) and kind.byte_width == 0):
            self.has_weightless = True
        elif kind.id in UNKNOWN_TO_PYTHON or not (types.is_primitive(kind) or _is_plain_binary(kind)):
            raise CorruptionError(f"a schema has a column of type {kind}")

    def _visit_child(self, child: Any, depth: int) -> None:
        _check_name(child.name)
        _check_texts(child)
        self.has_required |= not child.nullable
        self.visit(child.type, depth + 1)


def _is_plain_binary(kind: Any) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_binary(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_decimal(kind)
    )
