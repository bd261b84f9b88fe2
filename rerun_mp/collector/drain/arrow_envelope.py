"""Envelopes of Arrow IPC messages: their flatbuffers are read here, before pyarrow sees a message.

An envelope from shared memory may hold any bytes. Every offset is checked, and damage raises `CorruptionError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from rerun_mp.errors import CorruptionError

__all__ = [
    "CONTINUATION",
    "HEADER_BATCH",
    "HEADER_DICTIONARY",
    "HEADER_SCHEMA",
    "PREFIX",
    "Header",
    "check_batch",
    "messages",
    "read_envelope",
]

PREFIX = struct.Struct("<Ii")
CONTINUATION = 0xFFFFFFFF
"""Opens every encapsulated message since Arrow 0.15; the older form without it is refused."""

HEADER_SCHEMA, HEADER_DICTIONARY, HEADER_BATCH = 1, 2, 3
"""Values of `MessageHeader` in Arrow's Message.fbs."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header in a message's envelope, a flatbuffer table, and the length of the body that follows."""

    kind: int
    metadata: memoryview
    table: int
    body_length: int


def messages(stream: memoryview) -> Iterator[Header]:
    """Yield the header of each message of a stream, and check that the stream ends with the last one."""
    at = 0
    while len(stream) - at >= PREFIX.size and PREFIX.unpack_from(stream, at) != (CONTINUATION, 0):
        header, _, at = read_envelope(stream, at)
        if at > len(stream):
            raise CorruptionError(f"a message of an Arrow stream ends at {at} of {len(stream)} bytes")
        yield header
    if len(stream) - at not in (0, PREFIX.size):
        raise CorruptionError(f"an Arrow stream of {len(stream)} bytes ends after {at}")


def read_envelope(data: memoryview, at: int) -> tuple[Header, int, int]:
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
    return Header(kind, metadata, table, body_length), body, body + body_length


def _field(metadata: memoryview, table: int, number: int) -> int:
    """Return where field `number` of the flatbuffer table at `table` lies; 0 if it is absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:  # `unpack_from` counts a negative offset from the end
        raise CorruptionError("the envelope of an Arrow message points outside of itself")
    if 4 + 2 * number >= struct.unpack_from("<H", metadata, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", metadata, vtable + 4 + 2 * number)[0]
    return table + offset if offset else 0


def check_batch(header: Header, rows: int | None) -> None:
    """Check that a batch is uncompressed, fits its body, and has `rows` rows; None: any number."""
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
