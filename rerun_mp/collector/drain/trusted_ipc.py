"""Decoding Arrow IPC messages that came out of shared memory, where any process of the tree could have written them.

pyarrow verifies the flatbuffers of a message and `validate(full=True)` every length, offset and text of what it
decoded. What neither bounds is *size*: compressed buffers name their own decompressed length, buffers may overlap, and
types without width (null, structs without fields, lists of size 0) carry any number of elements in no bytes at all.
Such a message is small in the ring and without limit once it is copied. So, before pyarrow sees a message:

- its envelope is walked here: it must be one uncompressed record batch of the number of rows that the frame claims,
  and its buffers together no larger than its body;
- its schema must be made of types whose elements take space, or each array of the batch is measured after decoding.

Everything that is not so raises `CorruptionError`; nothing of it reaches rerun-sdk. Called by the collector's worker,
on private copies.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from rerun_mp.encoding.frames import FrameKind, RowsFrame
from rerun_mp.errors import CorruptionError

__all__ = ["TrustedSchema", "decode_frame", "trust_schema"]

PREFIX = struct.Struct("<Ii")
CONTINUATION = 0xFFFFFFFF
"""Opens every encapsulated message since Arrow 0.15; the older form without it is refused."""

HEADER_SCHEMA, HEADER_DICTIONARY, HEADER_BATCH = 1, 2, 3
"""Values of `MessageHeader` in Arrow's Message.fbs."""

MAX_KNOWN_ENVELOPE = 2048
"""Longer envelopes are not remembered, so that hostile ones cannot fill the memory."""

MAX_DEPTH = 16
MAX_FIELDS = 4096
"""Of one schema, nested fields included. rerun's largest archetype has under a hundred."""

INDEX_TYPES = (pa.int64(), pa.timestamp("ns"), pa.duration("ns"))


@dataclass(frozen=True, slots=True)
class TrustedSchema:
    """A schema that passed `trust_schema`, and what decoding has to know of it."""

    schema: Any
    index_columns: tuple[int, ...]
    has_dictionary: bool
    has_weightless: bool
    """Some type's elements take no space, so that their number says nothing about the size of the message."""
    has_required: bool
    """Some nested field may not be null."""


UNKNOWN_TO_PYTHON = (pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME)
"""Types of Arrow that pyarrow has no class of arrays for: a KeyError when somebody asks for one."""


def trust_schema(message: bytes) -> TrustedSchema:
    """Read an encapsulated schema message and check that rerun can take a chunk of it.

    Raises
    ------
    CorruptionError
        If it is damaged, nested too deep, or not made of timelines and components.
    """
    header, _, end = _envelope(memoryview(message), 0)
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
    # A component may have a timeline's name. rerun-sdk drops chunks that are nothing but timelines, and tells nobody.
    columns = {(position in index_columns, name) for position, name in enumerate(names)}
    if len(columns) != len(names) or "rerun.controls.RowId" in names or len(index_columns) == len(names):
        raise CorruptionError(f"the schema of a shape names its columns {names}")
    return TrustedSchema(schema, tuple(index_columns), walk.has_dictionary, walk.has_weightless, walk.has_required)


def decode_frame(frame: RowsFrame, trusted: TrustedSchema) -> Any:
    """Return the `pa.RecordBatch` of `frame`, whose shape's schema is `trusted`. It points into the frame's body.

    Raises
    ------
    CorruptionError
        If the bytes are not such a batch of `frame.rows` rows.
    """
    try:
        decode = _decode_stream if frame.kind == FrameKind.STREAM else _decode_batch
        batch = decode(frame, trusted)
        batch.validate(full=True)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise CorruptionError(f"rows of {frame.entity_path!r} cannot be decoded: {error}") from error
    if batch.num_rows != frame.rows:
        raise CorruptionError(f"a batch of {frame.entity_path!r} has {batch.num_rows} rows instead of {frame.rows}")
    for position in trusted.index_columns:
        if batch.column(position).null_count:
            raise CorruptionError(f"timeline {batch.schema.names[position]!r} of {frame.entity_path!r} has gaps")
    if trusted.has_weightless:
        for column in batch.columns:
            _check_weight(column, 8 * len(frame.body))
    if trusted.has_required:
        for column in batch.columns:
            _check_required(column)
    return batch


def _decode_batch(frame: RowsFrame, trusted: TrustedSchema) -> Any:
    if trusted.has_dictionary:
        raise CorruptionError(f"rows of {frame.entity_path!r} lack the dictionaries that their schema speaks of")
    try:
        continuation, length = PREFIX.unpack_from(frame.body, 0)
    except struct.error as error:
        raise CorruptionError(f"rows of {frame.entity_path!r} are {len(frame.body)} bytes") from error
    if continuation != CONTINUATION or length < 0:
        raise CorruptionError(f"rows of {frame.entity_path!r} do not begin with an Arrow message")
    envelope = bytes(frame.body[: PREFIX.size + length])
    check = _known_batch_end if len(envelope) <= MAX_KNOWN_ENVELOPE else _batch_end
    end = check(envelope, frame.rows)
    if end != len(frame.body):
        # What is too long might have swallowed the frame behind it.
        raise CorruptionError(f"rows of {frame.entity_path!r} are {len(frame.body)} bytes instead of {end}")
    return pa.ipc.read_record_batch(pa.py_buffer(frame.body), trusted.schema)


def _batch_end(envelope: bytes, rows: int) -> int:
    """Check the envelope of a batch of `rows` rows, and return where the batch ends that it begins."""
    header, _, end = _envelope(memoryview(envelope), 0)
    if header.kind != HEADER_BATCH:
        raise CorruptionError(f"rows are an Arrow message of kind {header.kind}")
    _check_batch(header, rows)
    return end


_known_batch_end = functools.lru_cache(maxsize=2048)(_batch_end)
"""Rows of one shape and size have the same envelope to the byte, and the verdict depends on nothing else."""


def _decode_stream(frame: RowsFrame, trusted: TrustedSchema) -> Any:
    batches = 0
    for header in _messages(frame.body):
        if header.kind == HEADER_BATCH:
            batches += 1
            _check_batch(header, frame.rows)
        elif header.kind == HEADER_DICTIONARY:
            _check_batch(header, None)
        elif header.kind != HEADER_SCHEMA:
            raise CorruptionError(f"a stream of {frame.entity_path!r} holds a message of kind {header.kind}")
    if batches != 1:
        raise CorruptionError(f"a stream of {frame.entity_path!r} holds {batches} batches instead of one")
    with pa.ipc.open_stream(pa.py_buffer(frame.body)) as reader:
        if not reader.schema.equals(trusted.schema, check_metadata=True):
            raise CorruptionError(f"a stream of {frame.entity_path!r} has another schema than its shape")
        return reader.read_next_batch()


@dataclass(frozen=True, slots=True)
class _Header:
    """The flatbuffer table in a message's envelope, and the length of the body that follows."""

    kind: int
    metadata: memoryview
    table: int
    body_length: int


def _messages(stream: memoryview) -> Iterator[_Header]:
    at = 0
    while len(stream) - at >= PREFIX.size and PREFIX.unpack_from(stream, at) != (CONTINUATION, 0):
        header, _, at = _envelope(stream, at)
        if at > len(stream):
            raise CorruptionError(f"a message of an Arrow stream ends at {at} of {len(stream)} bytes")
        yield header
    if len(stream) - at not in (0, PREFIX.size):
        raise CorruptionError(f"an Arrow stream of {len(stream)} bytes ends after {at}")


def _envelope(data: memoryview, at: int) -> tuple[_Header, int, int]:
    """Return the header of the message at offset `at`, where its body begins, and where it ends."""
    try:
        continuation, length = PREFIX.unpack_from(data, at)
        start = at + PREFIX.size
        if continuation != CONTINUATION or not 0 < length <= len(data) - start:
            raise CorruptionError(f"an Arrow message at offset {at} claims {length} bytes of metadata")
        metadata = data[start : start + length]
        (message,) = struct.unpack_from("<I", metadata, 0)
        kind_at, header_at, length_at = (_field(metadata, message, n) for n in (1, 2, 3))
        kind = metadata[kind_at] if kind_at else 0
        body_length = struct.unpack_from("<q", metadata, length_at)[0] if length_at else 0
        if not header_at or body_length < 0:
            raise CorruptionError(f"an Arrow message at offset {at} has no header, or a body of {body_length} bytes")
        table = header_at + struct.unpack_from("<I", metadata, header_at)[0]
    except (struct.error, IndexError) as error:
        raise CorruptionError(f"the envelope of an Arrow message is damaged: {error}") from error
    body = start + length
    return _Header(kind, metadata, table, body_length), body, body + body_length


def _field(metadata: memoryview, table: int, number: int) -> int:
    """Return where field `number` of the flatbuffer table at `table` lies; 0 if it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:  # `unpack_from` would count a negative offset from the end
        raise CorruptionError("the envelope of an Arrow message points outside of itself")
    if 4 + 2 * number >= struct.unpack_from("<H", metadata, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", metadata, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def _check_batch(header: _Header, rows: int | None) -> None:
    metadata, table = header.metadata, header.table
    try:
        if header.kind == HEADER_DICTIONARY:
            data_at = _field(metadata, table, 1)
            table = data_at + struct.unpack_from("<I", metadata, data_at)[0]
        length_at, buffers_at, compression_at = (_field(metadata, table, n) for n in (0, 2, 3))
        length = struct.unpack_from("<q", metadata, length_at)[0] if length_at else 0
        size = 0
        if buffers_at:
            vector = buffers_at + struct.unpack_from("<I", metadata, buffers_at)[0]
            (count,) = struct.unpack_from("<I", metadata, vector)
            lengths = struct.unpack_from(f"<{2 * count}q", metadata, vector + 4)[1::2]
            size = sum(lengths) if min(lengths, default=0) >= 0 else -1
    except (struct.error, IndexError) as error:
        raise CorruptionError(f"the envelope of an Arrow batch is damaged: {error}") from error
    if compression_at:
        raise CorruptionError("an Arrow batch is compressed, so its size is unknown; producers never compress")
    if rows is not None and length != rows:
        raise CorruptionError(f"an Arrow batch has {length} rows instead of {rows}")
    if not 0 <= size <= header.body_length:
        raise CorruptionError(f"the buffers of an Arrow batch claim {size} of {header.body_length} bytes")


def _check_name(name: str) -> None:
    """Refuse the name of a field that rerun-sdk would abort the process for, or read only to a zero."""
    # pyarrow keeps the bytes as they are until somebody asks: not UTF-8 is a UnicodeDecodeError here, an abort there.
    if "\0" in name:
        raise CorruptionError(f"a field of a schema has the name {name!r}")


def _check_texts(column: Any) -> None:
    # rerun-sdk takes metadata for UTF-8 unseen.
    for key, value in (column.metadata or {}).items():
        key.decode()
        value.decode()


class _TypeWalk:
    """Visits a schema's types, refusing those that rerun has no use for and that would have to be bounded otherwise."""

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


def _check_required(array: Any) -> None:
    """Refuse what is null where its field says that nothing is.

    pyarrow does not mind. rerun-sdk takes and writes it, but never reads that file again, whatever else is in it.
    """
    kind = array.type
    if pa.types.is_struct(kind) or pa.types.is_union(kind):
        children = [(kind.field(position), array.field(position)) for position in range(kind.num_fields)]
    elif hasattr(array, "values"):
        children = [(kind.value_field, array.values)]
    else:
        return
    for field, child in children:
        if child.null_count and not field.nullable:
            raise CorruptionError(f"{child.null_count} values of {field.name!r} are null and must not be")
        _check_required(child)


def _check_weight(array: Any, limit: int) -> None:
    """Refuse an array of more elements than its frame has bits."""
    if len(array) > limit:
        raise CorruptionError(f"an array of type {array.type} claims {len(array)} elements in {limit // 8} bytes")
    kind = array.type
    if pa.types.is_struct(kind) or pa.types.is_union(kind):
        for position in range(kind.num_fields):
            _check_weight(array.field(position), limit)
    elif hasattr(array, "values"):
        _check_weight(array.values, limit)
    elif pa.types.is_dictionary(kind):
        _check_weight(array.dictionary, limit)
