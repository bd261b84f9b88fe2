"""From the arguments of `log` and `send_columns` to bytes for the ring: a `Shape`, an Arrow IPC message, a row count.

The encoder works out the schema of a call once and keeps it as a `CallSchema`; a later call of the same kind only fills
in its values. An `Encoder` belongs to one recording. Any thread may call it: a race at worst works out a schema twice.
A forked child inherits the schemas, which stay valid.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.encoding.archetypes import components_of
from rerun_mp.encoding.component_arrays import take
from rerun_mp.encoding.frames import FrameKind, RecordingKey, Shape
from rerun_mp.encoding.messages import message_pieces
from rerun_mp.encoding.schemas import TIME_TYPES, CallSchema, call_schema, checked_times, time_kind
from rerun_mp.encoding.timepoints import TimelineNames
from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["BlobTemplate", "EncodedRows", "Encoder"]

MIN_BYTES_IN_PIECES = 16 * 1024
"""Smallest batch, in bytes, that stays in pieces; the pieces of a smaller one are joined."""

MIN_MARK_BYTES = 64
"""Smallest blob, in bytes, whose place in a message is found by a mark."""

MAX_BLOB_TEMPLATES = 256
"""Maximum number of blob templates in an encoder; it forgets all of them beyond that."""

MAX_SCHEMAS = 4096
"""Maximum number of keys in an encoder's memory of schemas; it forgets all of them beyond that.

It bounds programs that make up component names.
"""

MAX_TYPES_PER_KEY = 16
"""Maximum number of schemas with equal timelines and descriptors but different array types; the oldest go first."""

PREFIX = struct.Struct("<Ii")
"""The first bytes of an encapsulated Arrow message: a marker, and the number of bytes from here to the body."""


class EncodedRows(NamedTuple):
    """The rows of one call: the arguments of `Session.append` without the entity."""

    shape: Shape
    pieces: Sequence[pa.Buffer | bytes]
    """One message, in pieces. A large array is a piece of its own and points at the user's memory."""
    rows: int
    stream: bool
    """True: the message is a whole IPC stream, because a column is dictionary-encoded."""
    duplicates: tuple[ComponentDescriptor, ...] = ()
    """Components that the call gives again; only the first of each is in the message."""

    @property
    def kind(self) -> FrameKind:
        """The kind of the frame that holds the message."""
        return FrameKind.STREAM if self.stream else FrameKind.ROWS

    @property
    def body(self) -> pa.Buffer | bytes:
        """The message in one piece."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


class BlobTemplate(NamedTuple):
    """The message of a blob archetype, except the times and the blob.

    Message: `before`, times, `between`, blob, `after`.
    """

    shape: Shape
    before: bytes
    times: struct.Struct
    between: bytes
    after: bytes


BlobKey = tuple[type, Any, int, TimelineNames, bool]
"""(class, format, bytes of the blob, timelines, is static)."""


class Encoder:
    """Encodes the rows of one recording."""

    def __init__(self, recording: RecordingKey) -> None:
        self._recording = recording
        self._schemas: dict[tuple[object, ...], list[CallSchema]] = {}
        self._blob_templates: dict[BlobKey, BlobTemplate] = {}

    @staticmethod
    def components(*given: Any) -> tuple[list[ComponentDescriptor], list[pa.Array]]:
        """Return the descriptors and arrays of archetypes, or iterables of component batches. See `components_of`."""
        descriptors: list[ComponentDescriptor] = []
        arrays: list[pa.Array] = []
        for one in given:
            components_of(one, descriptors, arrays)
        return descriptors, arrays

    @staticmethod
    def indexes(indexes: Iterable[Any]) -> dict[str, pa.Array]:
        """Return the times by the name of their timeline, checked.

        Parameters
        ----------
        indexes
            Objects with `timeline_name()` and `as_arrow_array()`, such as `rerun.TimeColumn`.

        Raises
        ------
        TypeError
            If a name is no text.
        InvalidArgumentError
            If a name is empty, or the times are not int64, timestamp[ns] or duration[ns], or some are missing.
        UnicodeEncodeError
            If a name holds a lone surrogate.
        """
        return checked_times((index.timeline_name(), index.as_arrow_array()) for index in indexes)

    def row(
        self,
        descriptors: Sequence[ComponentDescriptor],
        arrays: Sequence[pa.Array],
        timelines: TimelineNames,
        times: Sequence[int],
        *,
        is_static: bool,
    ) -> EncodedRows:
        """Encode one row: the instances of each component, at one time on each timeline.

        Parameters
        ----------
        descriptors, arrays
            The components in the given order; each array holds the instances of one component.
        timelines
            Names and kinds, in the order of the names; none if static.
        times
            The time on each timeline: a number, or nanoseconds.
        is_static
            Whether the row is timeless.

        Raises
        ------
        pyarrow.ArrowException
            If Arrow cannot lay out a value.
        """
        call = self._schema(descriptors, arrays, timelines, is_static=is_static, is_row=True)
        if call.is_stream or sum(array.nbytes for array in arrays) >= MIN_BYTES_IN_PIECES:
            return _encoded(call, _row_columns(call, arrays, timelines, times), 1)
        body = call.template.write(
            times,
            [arrays[index] for index, _ in call.columns],
            lambda: _encoded(call, _row_columns(call, arrays, timelines, times), 1).body,
        )
        return EncodedRows(call.shape, (body,), 1, False, call.duplicates)

    def blob(self, archetype: Any, timelines: TimelineNames, times: Sequence[int], *, is_static: bool) -> EncodedRows:
        """Encode one row of a single blob archetype (`is_blob`). Parameters as for `row`.

        Messages of archetypes of equal class, format and size differ only in the times and the blob.
        """
        template = self.blob_template(archetype, timelines, is_static=is_static)
        if template is not None:
            begin = template.before + template.times.pack(*times) + template.between
            return EncodedRows(template.shape, (begin, archetype._buffer, template.after), 1, False)
        encoded = self.row(*self.components(archetype), timelines, times, is_static=is_static)
        outer = self._around_blob(archetype, encoded, timelines, times, is_static=is_static)
        if outer is not None:
            begin, after = outer
            head = PREFIX.size + PREFIX.unpack_from(begin)[1]
            packed = struct.Struct(f"<{len(times)}q")
            template = BlobTemplate(encoded.shape, begin[:head], packed, begin[head + packed.size :], after)
            if len(self._blob_templates) >= MAX_BLOB_TEMPLATES:
                self._blob_templates.clear()
            self._blob_templates[_blob_key(archetype, timelines, is_static)] = template
        return encoded

    def _around_blob(
        self, archetype: Any, encoded: EncodedRows, timelines: TimelineNames, times: Sequence[int], *, is_static: bool
    ) -> tuple[bytes, bytes] | None:
        """Return the bytes before and behind the blob in a row's message; None if the row needs no template."""
        if len(encoded.pieces) == 3:
            begin, _, after = map(bytes, encoded.pieces)
            return begin, after
        size = len(archetype._buffer)
        if size < MIN_MARK_BYTES or archetype._as_columns() is not None:
            return None  # most small blobs lie in tables
        marked = copy(archetype)
        mark = os.urandom(size)  # occurs once in the message, as the blob itself need not
        marked._buffer = memoryview(mark)
        row = self.row(*self.components(marked), timelines, times, is_static=is_static)
        body, _, after = b"".join(map(bytes, row.pieces)).partition(mark)
        return body, after

    def blob_template(self, archetype: Any, timelines: TimelineNames, *, is_static: bool) -> BlobTemplate | None:
        """Return the template for rows like this one; None if no such row has been encoded yet."""
        return self._blob_templates.get(_blob_key(archetype, timelines, is_static))

    def columns(
        self, indexes: Mapping[str, pa.Array], descriptors: Sequence[ComponentDescriptor], arrays: Sequence[pa.Array]
    ) -> EncodedRows:
        """Encode many rows: a column of times for each timeline, and a column for each component.

        Parameters
        ----------
        indexes
            Times by the name of the timeline, as `indexes` returns them. Empty: the rows are static.
        descriptors, arrays
            The components; each array is as long as every index. An array of lists holds a row's instances in each
            list, any other array one instance a row.

        Raises
        ------
        InvalidArgumentError
            If there are timelines, but no components.
        """
        if indexes and not arrays:
            raise InvalidArgumentError(f"timelines {sorted(indexes)} were given without a single component column")
        names = sorted(indexes)
        timelines = tuple((name, time_kind(name, indexes[name].type)) for name in names)
        call = self._schema(descriptors, arrays, timelines, is_static=not indexes, is_row=False)
        columns = [indexes[name] for name in names]
        columns += [_as_lists(arrays[index], column_type) for index, column_type in call.columns]
        return _encoded(call, _in_time_order(columns) if names else columns, len(arrays[0]) if arrays else 0)

    def _schema(
        self,
        descriptors: Sequence[ComponentDescriptor],
        arrays: Sequence[pa.Array],
        timelines: TimelineNames,
        *,
        is_static: bool,
        is_row: bool,
    ) -> CallSchema:
        """Return the schema of a call, from memory if an equal call came before. See `call_schema`."""
        key = (is_row, is_static, timelines, *descriptors)
        known = self._schemas.get(key)
        if known is None:
            if len(self._schemas) >= MAX_SCHEMAS:
                self._schemas.clear()
            known = self._schemas.setdefault(key, [])
        types = [array.type for array in arrays]
        for call in known:
            if call.types == types:
                return call
        call = call_schema(self._recording, descriptors, types, timelines, is_static=is_static, is_row=is_row)
        del known[: 1 - MAX_TYPES_PER_KEY]
        known.append(call)
        return call


def _row_columns(
    call: CallSchema, arrays: Sequence[pa.Array], timelines: TimelineNames, times: Sequence[int]
) -> list[pa.Array]:
    columns: list[pa.Array] = []
    if timelines:
        buffer = pa.py_buffer(struct.pack(f"<{len(times)}q", *times))
        columns = [
            pa.Array.from_buffers(TIME_TYPES[kind], 1, [None, buffer.slice(8 * i, 8)])
            for i, (_, kind) in enumerate(timelines)
        ]
    for index, column_type in call.columns:
        array = arrays[index]
        columns.append(pa.Array.from_buffers(column_type, 1, [None, _list_offsets(len(array))], 0, 0, [array]))
    return columns


def _encoded(call: CallSchema, columns: list[pa.Array], rows: int) -> EncodedRows:
    batch = pa.RecordBatch.from_arrays(columns, schema=call.schema)
    if not call.is_stream:
        is_large = batch.nbytes >= MIN_BYTES_IN_PIECES
        pieces = message_pieces(batch, len(call.shape.schema)) if is_large else (batch.serialize(),)
        return EncodedRows(call.shape, pieces, rows, False, call.duplicates)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, call.schema) as writer:
        writer.write_batch(batch)
    return EncodedRows(call.shape, (sink.getvalue(),), rows, True, call.duplicates)


def _in_time_order(columns: list[pa.Array]) -> list[pa.Array]:
    """Return the rows sorted by the first timeline, as rerun sorts them."""
    if not len(columns[0]):
        return columns
    # `to_numpy` would import pandas.
    times = np.frombuffer(columns[0].buffers()[1], np.int64, len(columns[0]), 8 * columns[0].offset)
    if (times[1:] >= times[:-1]).all():
        return columns
    order = times.argsort(kind="stable")
    return [take(column, order) for column in columns]


@lru_cache(maxsize=1024)
def _list_offsets(length: int) -> pa.Buffer:
    """Return the offsets of one list of so many items."""
    return pa.py_buffer(struct.pack("<2i", 0, length))


def _as_lists(array: pa.Array, column_type: pa.DataType) -> pa.Array:
    """Return an array as a column: lists as they are, any other element as a list of one."""
    if pa.types.is_list(array.type):
        # Only the name of the items changes to the one that rerun uses.
        return pa.Array.from_buffers(
            column_type, len(array), array.buffers()[:2], array.null_count, array.offset, [array.values]
        )
    offsets = pa.py_buffer(struct.pack(f"<{len(array) + 1}i", *range(len(array) + 1)))
    return pa.Array.from_buffers(column_type, len(array), [None, offsets], 0, 0, [array])


def _blob_key(archetype: Any, timelines: TimelineNames, is_static: bool) -> BlobKey:
    return (type(archetype), archetype._format, len(archetype._buffer), timelines, is_static)
