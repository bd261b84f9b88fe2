"""Messages that rerun's servers take, as bytes: made of the messages of .rrd files, whose payloads are the same.

A server takes a stream of `WriteMessagesRequest`, each with one `LogMsg`: a store info, a chunk, or the activation of a
blueprint. The fields are those of rerun-sdk 0.41 (crates/store/re_protos/proto/rerun/v1alpha1 in rerun's sources), the
encoding is Protocol Buffers' (https://protobuf.dev/programming-guides/encoding). No process, no lock; any thread may
call.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.rrd_files import HEADER_SIZE, MESSAGE, MessageKind, messages_of

if TYPE_CHECKING:
    from rerun_mp.encoding.frames import RecordingKey

__all__ = [
    "READ_MESSAGES",
    "WRITE_MESSAGES",
    "activation",
    "batch_of",
    "blueprint_messages",
    "chunk_id_of",
    "chunk_message",
    "compressed_part",
    "dataframe_content",
    "dataframe_of",
    "field_head",
    "fields_of",
    "first_batch",
    "identity_of",
    "length_delimited",
    "mark_of",
    "request",
    "rows_in_chunk",
    "store_field",
    "store_info",
    "stream_of",
    "without_repeated_blueprints",
]

WRITE_MESSAGES = "/rerun.sdk_comms.v1alpha1.MessageProxyService/WriteMessages"
READ_MESSAGES = "/rerun.sdk_comms.v1alpha1.MessageProxyService/ReadMessages"

RECORDING, BLUEPRINT = 1, 2
"""Kinds of stores."""
PYTHON = 2
"""Kind of a store's source."""
UNCOMPRESSED, LZ4 = 1, 2
ARROW_IPC = 1
MAX_LZ4_BYTES = 0x7E000000
"""The maximum size of a block that LZ4 compresses."""
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
"""The end of an Arrow IPC stream."""


def request(kind: MessageKind, payload: bytes) -> bytes:
    """Return the `WriteMessagesRequest` with a message of an .rrd file."""
    # The kinds are also the numbers of the fields in `LogMsg`.
    return length_delimited(1, length_delimited(kind, payload))


def store_info(recording: RecordingKey, row_id: bytes) -> bytes:
    """Return the payload that begins a recording in a server. `row_id`: 16 bytes, which the server keeps."""
    return _store_info(_store_id(RECORDING, recording.recording_id, recording.application_id), row_id)


def mark_of(row_id: bytes) -> bytes:
    """Return the bytes that a server's messages hold if one is a store info with this row id."""
    return length_delimited(1, _tuid(row_id))


def blueprint_messages(application_id: str, content: bytes, *, make_active: bool, make_default: bool) -> list[bytes]:
    """Return the requests that give a server a blueprint.

    Parameters
    ----------
    application_id
        The application that the blueprint is for.
    content
        An .rrd file with one blueprint.
    make_active, make_default
        Whether the viewer shows it at once, and whether it becomes the application's default.
    """
    # The same content has the same id each time, so a viewer that gets it twice has one blueprint.
    digest = hashlib.blake2b(application_id.encode() + b"\0" + content, digest_size=16).digest()
    store = _store_id(BLUEPRINT, digest.hex(), application_id)
    # A field that comes twice has its last value.
    chunks = [
        payload + length_delimited(1, store) for kind, payload in messages_of(content) if kind == MessageKind.CHUNK
    ]
    return [
        request(MessageKind.STORE_INFO, _store_info(store, digest)),
        *(request(MessageKind.CHUNK, chunk) for chunk in chunks),
        request(
            MessageKind.BLUEPRINT_ACTIVATION, activation(store, make_active=make_active, make_default=make_default)
        ),
    ]


def activation(store: bytes, *, make_active: bool, make_default: bool) -> bytes:
    """Return the payload that activates a blueprint."""
    return length_delimited(1, store) + _number(2, int(make_active)) + _number(3, int(make_default))


def chunk_message(recording: RecordingKey, chunk_id: str, batch: Any, *, is_plain: bool = False) -> bytes:
    """Return the payload of a chunk.

    Parameters
    ----------
    recording
        The recording that it belongs to.
    chunk_id
        Its id: "chunk_" and 32 hexadecimal digits.
    batch
        Its record batch.
    is_plain
        Whether no column of it has a dictionary.
    """
    content = _plain_stream(batch) if is_plain else stream_of(batch).to_pybytes()
    return b"".join(
        (
            store_field(recording),
            _number(2, UNCOMPRESSED),
            _number(3, len(content)),
            _number(4, ARROW_IPC),
            length_delimited(5, content),
            length_delimited(6, identity_of(chunk_id)),
        )
    )


def chunk_id_of(payload: bytes) -> bytes:
    """Return the bytes that identify a chunk; of a payload that is none, the payload."""
    try:
        return bytes(dict(fields_of(payload))[6])
    except (ValueError, KeyError):
        return payload


def identity_of(chunk_id: str) -> bytes:
    """Return what `chunk_id_of` returns for the chunk with this id, "chunk_" and 32 hexadecimal digits."""
    return _tuid(bytes.fromhex(chunk_id.removeprefix("chunk_")))


def rows_in_chunk(payload: bytes) -> tuple[str, int]:
    """Return the entity path and the number of rows of a chunk. Raises as `batch_of`."""
    batch = batch_of(payload)
    return batch.schema.metadata[b"rerun:entity_path"].decode(), batch.num_rows


def batch_of(payload: bytes) -> Any:
    """Return the record batch of a chunk.

    Raises
    ------
    ValueError, KeyError, OSError
        If the payload is no chunk.
    """
    fields = dict(fields_of(payload))
    return first_batch(_content(fields[5], fields.get(2), fields.get(3)))


def dataframe_of(part: bytes) -> Any:
    """Return the record batch of a table in a footer. Raises as `batch_of`."""
    return first_batch(dataframe_content(part))


def dataframe_content(part: bytes) -> Any:
    """Return a buffer with the Arrow stream of a table in a footer. Raises as `batch_of`."""
    fields = dict(fields_of(part))
    return _content(fields[2], fields.get(3), fields.get(4))


def compressed_part(content: Any) -> list[Any]:
    """Return, in pieces, a table as a footer holds it. `content`: a buffer with the table's Arrow stream."""
    import pyarrow as pa

    if len(content) > MAX_LZ4_BYTES:
        tail = _number(3, UNCOMPRESSED) + _number(4, len(content))
        return [_number(1, ARROW_IPC) + field_head(2, len(content)), content, tail]
    packed = pa.Codec("lz4_raw").compress(content)
    tail = _number(3, LZ4) + _number(4, len(content))
    return [_number(1, ARROW_IPC) + field_head(2, len(packed)), packed, tail]


def _content(content: Any, compression: int | None, size: int | None) -> Any:
    import pyarrow as pa

    content = pa.py_buffer(content)
    return pa.Codec("lz4_raw").decompress(content, decompressed_size=size) if compression == LZ4 else content


def first_batch(content: Any) -> Any:
    """Return the first record batch of an Arrow stream. The batch shares the stream's memory."""
    import pyarrow as pa

    with pa.ipc.open_stream(content) as reader:
        return reader.read_next_batch()


def _plain_stream(batch: Any) -> bytes:
    """Return the bytes that `stream_of` gives, in half the time for the first row after a pause."""
    return b"".join((batch.schema.serialize(), batch.serialize(), END_OF_STREAM))


def stream_of(batch: Any) -> Any:
    """Return a buffer with the Arrow stream of a record batch."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def without_repeated_blueprints(content: bytes, last: bytes) -> tuple[bytes, bytes]:
    """Return an .rrd stream without each blueprint that is the same as the one before it.

    Parameters
    ----------
    content
        The stream.
    last
        Identity of the last blueprint of the stream before, or b"". It follows from the chunks, because rerun-sdk gives
        the same blueprint another store each time that it writes it.

    Returns
    -------
    bytes, bytes
        The stream, and the identity of its last blueprint.
    """
    identities: dict[bytes, Any] = {}
    for kind, payload in messages_of(content):
        store = _blueprint_of(kind, payload)
        if store:
            digest = identities.setdefault(store, hashlib.blake2b(digest_size=16))
            if kind == MessageKind.CHUNK:
                digest.update(chunk_id_of(payload))
            elif kind == MessageKind.BLUEPRINT_ACTIVATION:
                digest.update(payload.removeprefix(length_delimited(1, store)))
    kept = bytearray(content[:HEADER_SIZE])
    repeated = set()
    for store, digest in identities.items():
        if digest.digest() == last:
            repeated.add(store)
        last = digest.digest()
    for kind, payload in messages_of(content):
        if _blueprint_of(kind, payload) not in repeated:
            kept += MESSAGE.pack(kind, len(payload)) + payload
    return bytes(kept), last


def _blueprint_of(kind: int, payload: bytes) -> bytes:
    """Return the store that a message belongs to if that is a blueprint; else b""."""
    fields = dict(fields_of(payload))
    store: bytes = dict(fields_of(fields[2]))[2] if kind == MessageKind.STORE_INFO else fields[1]
    return store if dict(fields_of(store)).get(1) == BLUEPRINT else b""


def _store_info(store: bytes, row_id: bytes) -> bytes:
    version = sys.version_info
    python = _number(1, version.major) + _number(2, version.minor) + _number(3, version.micro)
    source = _number(1, PYTHON) + length_delimited(2, length_delimited(1, python))
    return length_delimited(1, _tuid(row_id)) + length_delimited(
        2, length_delimited(2, store) + length_delimited(5, source)
    )


@lru_cache(maxsize=256)
def store_field(recording: RecordingKey) -> bytes:
    """Return the field that names a chunk's recording. At the end of a payload it takes the place of the first one."""
    return length_delimited(1, _store_id(RECORDING, recording.recording_id, recording.application_id))


def _store_id(kind: int, recording_id: str, application_id: str) -> bytes:
    return (
        _number(1, kind)
        + length_delimited(2, recording_id.encode())
        + length_delimited(3, length_delimited(1, application_id.encode()))
    )


def _tuid(raw: bytes) -> bytes:
    time_ns, counter = struct.unpack(">QQ", raw)
    return b"\x09" + struct.pack("<Q", time_ns) + b"\x11" + struct.pack("<Q", counter)


def length_delimited(field: int, content: bytes) -> bytes:
    """Return a field of bytes."""
    return field_head(field, len(content)) + content


def field_head(field: int, length: int) -> bytes:
    """Return what comes before the content of a field of so many bytes."""
    return _varint(field << 3 | 2) + _varint(length)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def fields_of(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of each field of a message.

    Raises
    ------
    ValueError
        If the bytes are no message.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        if key & 7 == 0:
            value, at = _read_varint(message, at)
            yield key >> 3, value
            continue
        if key & 7 == 2:
            length, at = _read_varint(message, at)
        elif key & 7 == 1:
            length = 8
        else:
            raise ValueError(f"field {key >> 3} has wire type {key & 7}, which no message of rerun has")
        if at + length > len(message):
            raise ValueError("the message is cut off")
        yield key >> 3, message[at : at + length]
        at += length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError("the message is cut off")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
