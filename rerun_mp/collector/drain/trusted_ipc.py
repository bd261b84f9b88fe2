"""Decoding Arrow IPC messages that came out of shared memory, where any process of the tree could have written them.

pyarrow verifies the flatbuffers of a message, and `validate(full=True)` every length, offset and text that it decoded.
Neither bounds the *size*: compressed buffers name their own decompressed length, buffers may overlap, and types without
width carry any number of elements in no bytes. Such a message is small in the ring, and unbounded once it is copied. So
before pyarrow sees a message:

- its envelope is read here: it must be one uncompressed record batch with as many rows as the frame claims, and its
  buffers together must not exceed its body;
- its schema must be made of types whose elements take space, or each array of the batch is measured after decoding.

Anything else raises `CorruptionError` and does not reach rerun-sdk. Called by the worker's main thread, on private
copies.
"""

from __future__ import annotations

import functools
import struct
from typing import Any

import pyarrow as pa

from rerun_mp.collector.drain.arrow_envelope import (
    CONTINUATION,
    HEADER_BATCH,
    HEADER_DICTIONARY,
    HEADER_SCHEMA,
    PREFIX,
    check_batch,
    messages,
    read_envelope,
)
from rerun_mp.collector.drain.trusted_schema import TrustedSchema
from rerun_mp.encoding.frames import FrameKind, RowsFrame
from rerun_mp.errors import CorruptionError

__all__ = ["decode_frame"]

MAX_CACHED_ENVELOPE_BYTES = 2048
"""Maximum bytes of a cached envelope, so that hostile envelopes cannot fill the memory."""


def decode_frame(frame: RowsFrame, trusted: TrustedSchema) -> Any:
    """Return the `pa.RecordBatch` of `frame`, whose schema is `trusted`. It points into the frame's body.

    Raises
    ------
    CorruptionError
        If the bytes are not a batch of this schema with `frame.rows` rows.
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
        raise CorruptionError(f"rows of {frame.entity_path!r} lack the dictionaries that their schema names")
    try:
        continuation, length = PREFIX.unpack_from(frame.body, 0)
    except struct.error as error:
        raise CorruptionError(f"rows of {frame.entity_path!r} are {len(frame.body)} bytes") from error
    if continuation != CONTINUATION or length < 0:
        raise CorruptionError(f"rows of {frame.entity_path!r} do not begin with an Arrow message")
    envelope = bytes(frame.body[: PREFIX.size + length])
    check = _cached_batch_end if len(envelope) <= MAX_CACHED_ENVELOPE_BYTES else _batch_end
    end = check(envelope, frame.rows)
    if end != len(frame.body):
        # A frame with a forged length may have swallowed the frame behind it.
        raise CorruptionError(f"rows of {frame.entity_path!r} are {len(frame.body)} bytes instead of {end}")
    return pa.ipc.read_record_batch(pa.py_buffer(frame.body), trusted.schema)


def _batch_end(envelope: bytes, rows: int) -> int:
    """Check the envelope of a batch of `rows` rows, and return where the batch ends."""
    header, _, end = read_envelope(memoryview(envelope), 0)
    if header.kind != HEADER_BATCH:
        raise CorruptionError(f"rows are an Arrow message of kind {header.kind}")
    check_batch(header, rows)
    return end


_cached_batch_end = functools.lru_cache(maxsize=2048)(_batch_end)
"""Rows of one shape and size have equal envelopes, and the result depends on nothing else."""


def _decode_stream(frame: RowsFrame, trusted: TrustedSchema) -> Any:
    batches = 0
    for header in messages(frame.body):
        if header.kind == HEADER_BATCH:
            batches += 1
            check_batch(header, frame.rows)
        elif header.kind == HEADER_DICTIONARY:
            check_batch(header, None)
        elif header.kind != HEADER_SCHEMA:
            raise CorruptionError(f"a stream of {frame.entity_path!r} holds a message of kind {header.kind}")
    if batches != 1:
        raise CorruptionError(f"a stream of {frame.entity_path!r} holds {batches} batches instead of one")
    with pa.ipc.open_stream(pa.py_buffer(frame.body)) as reader:
        if not reader.schema.equals(trusted.schema, check_metadata=True):
            raise CorruptionError(f"a stream of {frame.entity_path!r} has another schema than its shape")
        return reader.read_next_batch()


def _check_required(array: Any) -> None:
    """Refuse nulls in a field that does not allow them.

    pyarrow accepts them. rerun-sdk writes them to a file, and then cannot read the whole file.
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
