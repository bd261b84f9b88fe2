"""Arrow record batch messages without Arrow's work: from a remembered header, or in pieces that are not joined.

An encapsulated record batch message is a header (a flatbuffer with the lengths of all arrays and buffers) and a body
(the buffers, each padded to 8 bytes). Rows with equal schema and equal array lengths have the same header. To write the
body after a remembered header takes a third of the time that Arrow takes for both::

    ┌─────────────────────────┬──────────┬──────────┬─────────────────┬────────────────┬─────┐
    │ header, remembered      │ time 1   │ time 2   │ 0, n of list 1  │ data of list 1 │ ... │
    └─────────────────────────┴──────────┴──────────┴─────────────────┴────────────────┴─────┘

`RowTemplate` does so for arrays of numbers, fixed-size lists of numbers, texts and lists of numbers that have neither
offset nor nulls; Arrow writes all others. A header is remembered only after the body here was equal to Arrow's, byte
for byte.

`message_pieces` does not write a message at all. It returns the pieces that Arrow would write, for the caller to copy.

See <https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format>.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

__all__ = ["RowTemplate", "message_pieces"]

MIN_OWN_PIECE = 4096
"""Minimum bytes of a piece; smaller ones are joined with their neighbours."""

MAX_HEADERS = 256
"""Maximum number of headers in a template; it forgets all of them beyond that."""

MAX_MISMATCHES = 16
"""After more bodies than this that differed from Arrow's, a template leaves all rows to Arrow."""

ALIGNMENT = 8

Pieces = tuple[memoryview, ...]
Reader = Callable[[Any], "Pieces | None"]
"""Returns the used bytes of an array's buffers; None if Arrow must write the array."""


class RowTemplate:
    """Writes rows of one schema: some times, then one list of each type."""

    __slots__ = ("_headers", "_mismatches", "_readers", "_times")

    def __init__(self, times: int, types: Sequence[pa.DataType]) -> None:
        readers = [_reader(given) for given in types]
        self._readers: list[Reader] | None = None if None in readers else [reader for reader in readers if reader]
        self._times = struct.Struct(f"<{times}q")
        self._headers: dict[tuple[int, ...], bytes] = {}
        self._mismatches = 0

    def write(
        self, times: Sequence[int], arrays: Sequence[pa.Array], by_arrow: Callable[[], pa.Buffer]
    ) -> bytes | pa.Buffer:
        """Return the message of one row. `by_arrow` makes it if no header is known for the arrays' lengths."""
        if self._readers is None:
            return by_arrow()
        body: list[bytes | memoryview] = [self._times.pack(*times)]
        lengths: list[int] = []
        for reader, array in zip(self._readers, arrays, strict=True):
            pieces = reader(array)
            if pieces is None:
                return by_arrow()
            length = len(array)
            lengths.append(length)
            body.append(_LIST_OFFSETS.pack(0, length))
            for piece in pieces:
                size = piece.nbytes
                lengths.append(size)
                body.append(piece)
                if size % ALIGNMENT:
                    body.append(_PADDING[size % ALIGNMENT])
        key = tuple(lengths)
        header = self._headers.get(key)
        if header is not None:
            return b"".join((header, *body))
        return self._learn(key, b"".join(body), by_arrow())

    def _learn(self, key: tuple[int, ...], body: bytes, message: pa.Buffer) -> pa.Buffer:
        whole = memoryview(message)
        if bytes(whole[len(whole) - len(body) :]) != body:
            # Arrow also writes bytes of a buffer that lie behind the array's end. If that recurs, stop trying.
            self._mismatches += 1
            if self._mismatches > MAX_MISMATCHES:
                self._readers = None
        else:
            if len(self._headers) >= MAX_HEADERS:
                self._headers.clear()
            self._headers[key] = bytes(whole[: len(whole) - len(body)])
        return message


class _Collected:
    """A file that Arrow writes to. It keeps the written objects, without a copy."""

    closed = False

    def __init__(self) -> None:
        self.pieces: list[bytes | pa.Buffer] = []

    def write(self, piece: bytes | pa.Buffer) -> int:
        """Keep one piece."""
        self.pieces.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Do nothing."""


def message_pieces(batch: pa.RecordBatch, schema_bytes: int) -> list[bytes | pa.Buffer]:
    """Return the message of `batch.serialize()` in pieces; large ones point at the batch's own buffers.

    Parameters
    ----------
    batch
        A batch without dictionary-encoded columns.
    schema_bytes
        Bytes of its schema message, with which Arrow begins a stream.
    """
    collected = _Collected()
    pa.ipc.new_stream(pa.PythonFile(collected, "w"), batch.schema).write_batch(batch)
    whole: list[bytes | pa.Buffer] = []
    small: list[bytes | pa.Buffer] = []
    begin = 0
    for piece in collected.pieces:
        if begin < schema_bytes:
            begin += len(piece)
        elif len(piece) < MIN_OWN_PIECE:
            small.append(piece)
        else:
            whole += (b"".join(small), piece)
            small = []
    whole.append(b"".join(small))
    return whole


_LIST_OFFSETS = struct.Struct("<2i")
_PADDING = [bytes(ALIGNMENT - size) for size in range(ALIGNMENT)]


def _reader(given: pa.DataType) -> Reader | None:
    width = _width(given)
    if width:
        return lambda array: _numbers(array, width)
    if pa.types.is_fixed_size_list(given) and (width := _width(given.value_type)):
        return lambda array: None if array.values.offset else _numbers(array, width * given.list_size)
    if pa.types.is_string(given) or pa.types.is_binary(given):
        return lambda array: _lists(array, 1)
    if pa.types.is_list(given) and (width := _width(given.value_type)):
        return lambda array: None if array.values.offset or array.values.null_count else _lists(array, width)
    return None


def _width(given: pa.DataType) -> int:
    """Return the bytes of one number of this type; 0 for other types and for bits."""
    is_number = pa.types.is_integer(given) or pa.types.is_floating(given)
    return given.bit_width // 8 if is_number else 0


def _numbers(array: Any, width: int) -> Pieces | None:
    if array.offset or array.null_count:
        return None
    data = array.buffers()[-1]
    if data is None:
        return None
    return (memoryview(data)[: len(array) * width],)


def _lists(array: Any, width: int) -> Pieces | None:
    if array.offset or array.null_count:
        return None
    buffers = array.buffers()
    offsets, data = buffers[1], buffers[-1]
    if offsets is None or data is None or not len(array):
        return None
    view = memoryview(offsets)[: 4 * (len(array) + 1)]
    begin, end = _INT.unpack_from(view, 0)[0], _INT.unpack_from(view, 4 * len(array))[0]
    if begin:
        return None
    return view, memoryview(data)[: end * width]


_INT = struct.Struct("<i")
