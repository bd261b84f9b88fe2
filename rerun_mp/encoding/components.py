"""From what `log` and `send_columns` are given to what travels: a `Shape`, an Arrow IPC body, a number of rows.

The columns, their order (timelines by name, then components by name) and their metadata are those of rerun's own
chunks; row ids and chunk ids are added by the collector::

    log_time            frame               Points3D:positions
    timestamp[ns]       int64               list<item: fixed_size_list<float>[3]>
    rerun:kind=index    rerun:kind=index    rerun:kind=data, rerun:component, rerun:archetype, rerun:component_type

What calls of the same kind have in common is worked out once and remembered as a *form*; a call that meets its form
again only fills it in. An `Encoder` belongs to one recording. Any thread may call it: the worst that a race does is to
work out a form twice. A forked child inherits the forms, which stay true.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from rerun_mp.encoding.archetypes import components_of
from rerun_mp.encoding.frames import RecordingKey, Shape
from rerun_mp.encoding.messages import RowTemplate, message_pieces
from rerun_mp.encoding.timepoints import TimeKind, TimelineNames, checked_timeline_name
from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["EncodedRows", "Encoder"]

LARGE = 16 * 1024
"""From so many bytes on, a message is not joined before it is copied into the ring."""

MAX_BLOBS = 256
PREFIX = struct.Struct("<Ii")
"""How an encapsulated Arrow message begins: a marker, and the size of the header up to the body."""

MAX_FORMS = 4096
"""Forms that an encoder remembers before it forgets them all: a bound for programs that make up component names."""

_TIME_TYPES = {
    TimeKind.SEQUENCE: pa.int64(),
    TimeKind.TIMESTAMP: pa.timestamp("ns"),
    TimeKind.DURATION: pa.duration("ns"),
}


class EncodedRows(NamedTuple):
    """What one call makes of its arguments: the arguments of `Session.append` without the entity."""

    shape: Shape
    pieces: Sequence[pa.Buffer | bytes]
    """One message, in pieces; large arrays are pieces of their own, which point at the memory that was given."""
    rows: int
    stream: bool
    """Whether it is a whole IPC stream, because of dictionaries, and not one message."""
    duplicates: tuple[ComponentDescriptor, ...] = ()
    """Components that were given more than once; only the first of each is in the message."""

    @property
    def body(self) -> pa.Buffer | bytes:
        """The message in one piece."""
        return self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)


class Form(NamedTuple):
    """What calls with equal timelines, descriptors and types have in common."""

    types: list[pa.DataType]
    """Type of each array as given, for recognising the form."""
    columns: tuple[tuple[int, pa.DataType], ...]
    """Index into the arrays as given, and type of the column, in the order of the schema."""
    schema: pa.Schema
    shape: Shape
    stream: bool
    duplicates: tuple[ComponentDescriptor, ...]
    template: RowTemplate
    """For rows that `log` makes."""


class BlobTemplate(NamedTuple):
    """The message of a blob archetype, but for the times and the bytes."""

    shape: Shape
    before: bytes
    """What stands before the times."""
    times: struct.Struct
    between: bytes
    after: bytes
    """What stands behind the bytes."""


BlobKey = tuple[type, Any, int, TimelineNames, bool]
"""Class, format, bytes, timelines, static or not."""


class Encoder:
    """Encodes the rows of one recording."""

    def __init__(self, recording: RecordingKey) -> None:
        self._recording = recording
        self._forms: dict[tuple[object, ...], list[Form]] = {}
        self._blobs: dict[tuple[object, ...], BlobTemplate] = {}

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
        """Return the times of each timeline, checked.

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
        """Encode one row: the instances of each component, at one time of each timeline.

        Parameters
        ----------
        descriptors, arrays
            The components, in the order in which they were given.
        timelines
            Names and kinds, in the order of the names; none if static.
        times
            The time on each of them: a number, or nanoseconds.
        is_static
            Whether the row is timeless.

        Raises
        ------
        pyarrow.ArrowException
            If Arrow cannot lay out a value.
        """
        form = self._form(descriptors, arrays, timelines, is_static=is_static, wrap=True)
        if form.stream or sum(array.nbytes for array in arrays) >= LARGE:
            return _encoded(form, _row(form, arrays, timelines, times), 1)
        body = form.template.write(
            times,
            [arrays[index] for index, _ in form.columns],
            lambda: _encoded(form, _row(form, arrays, timelines, times), 1).body,
        )
        return EncodedRows(form.shape, (body,), 1, False, form.duplicates)

    def blob(self, archetype: Any, timelines: TimelineNames, times: Sequence[int], *, is_static: bool) -> EncodedRows:
        """Encode one row of a blob archetype alone, for which `is_blob` holds. Parameters as for `row`.

        A message differs from that of an archetype of equal class, format and size by the times and the bytes only.
        """
        view = archetype._buffer
        known = self.blob_template(archetype, timelines, is_static=is_static)
        if known is not None:
            begin = known.before + known.times.pack(*times) + known.between
            return EncodedRows(known.shape, (begin, view, known.after), 1, False)
        encoded = self.row(*self.components(archetype), timelines, times, is_static=is_static)
        if len(encoded.pieces) == 3:
            begin, _, after = map(bytes, encoded.pieces)
            head = PREFIX.size + PREFIX.unpack_from(begin)[1]
            packed = struct.Struct(f"<{len(times)}q")
            template = BlobTemplate(encoded.shape, begin[:head], packed, begin[head + packed.size :], after)
            if len(self._blobs) >= MAX_BLOBS:
                self._blobs.clear()
            self._blobs[_blob_key(archetype, timelines, is_static)] = template
        return encoded

    def blob_template(self, archetype: Any, timelines: TimelineNames, *, is_static: bool) -> BlobTemplate | None:
        """Return what a row like this one has in common with one that has been encoded, if there was one."""
        return self._blobs.get(_blob_key(archetype, timelines, is_static))

    def columns(
        self, indexes: Mapping[str, pa.Array], descriptors: Sequence[ComponentDescriptor], arrays: Sequence[pa.Array]
    ) -> EncodedRows:
        """Encode many rows: a column of times for each timeline, and a column for each component.

        Parameters
        ----------
        indexes
            Times by the name of the timeline, as `indexes` returns them. None: the rows are static.
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
        timelines = tuple((name, _kind_of(name, indexes[name].type)) for name in names)
        form = self._form(descriptors, arrays, timelines, is_static=not indexes, wrap=False)
        columns = [indexes[name] for name in names]
        columns += [_as_lists(arrays[index], column_type) for index, column_type in form.columns]
        return _encoded(form, _in_order(columns) if names else columns, len(arrays[0]) if arrays else 0)

    def _form(
        self,
        descriptors: Sequence[ComponentDescriptor],
        arrays: Sequence[pa.Array],
        timelines: TimelineNames,
        *,
        is_static: bool,
        wrap: bool,
    ) -> Form:
        key = (wrap, is_static, timelines, *descriptors)
        forms = self._forms.get(key)
        if forms is None:
            if len(self._forms) >= MAX_FORMS:
                self._forms.clear()
            forms = self._forms.setdefault(key, [])
        types = [array.type for array in arrays]
        for form in forms:
            if form.types == types:
                return form
        form = self._new_form(descriptors, arrays, timelines, is_static=is_static, wrap=wrap)
        del forms[:-15]
        forms.append(form)
        return form

    def _new_form(
        self,
        descriptors: Sequence[ComponentDescriptor],
        arrays: Sequence[pa.Array],
        timelines: TimelineNames,
        *,
        is_static: bool,
        wrap: bool,
    ) -> Form:
        # Equal descriptors: the first counts. Different descriptors of one component: rerun keeps the last.
        by_component: dict[str, int] = {}
        duplicates = []
        for i, descriptor in enumerate(descriptors):
            if descriptor in descriptors[:i]:
                duplicates.append(descriptor)
            else:
                by_component[descriptor.component] = i
        columns = []
        fields = [_index_field(name, kind) for name, kind in timelines]
        for component in sorted(by_component):
            i = by_component[component]
            given = arrays[i].type
            items = given.value_type if not wrap and pa.types.is_list(given) else given
            columns.append((i, pa.list_(items)))
            fields.append(_component_field(descriptors[i], columns[-1][1]))
        schema = pa.schema(fields)
        return Form(
            types=[array.type for array in arrays],
            columns=tuple(columns),
            schema=schema,
            shape=Shape(self._recording, is_static, schema.serialize().to_pybytes()),
            stream=any(_has_dictionary(field.type) for field in fields),
            duplicates=tuple(duplicates),
            template=RowTemplate(len(timelines), [arrays[i].type for i, _ in columns]),
        )


def checked_times(columns: Iterable[tuple[str, pa.Array]]) -> dict[str, pa.Array]:
    """Return the times of each timeline, checked. Raises as `Encoder.indexes`."""
    arrays: dict[str, pa.Array] = {}
    for given, array in columns:
        name = checked_timeline_name(given)
        if array.null_count:
            raise InvalidArgumentError(
                f"timeline {name!r}: {array.null_count} of {len(array)} times are missing; give each row one"
            )
        kind = _kind_of(name, array.type)
        arrays[name] = array if array.type == _TIME_TYPES[kind] else array.cast(_TIME_TYPES[kind])
    return arrays


def _row(form: Form, arrays: Sequence[pa.Array], timelines: TimelineNames, times: Sequence[int]) -> list[pa.Array]:
    columns: list[pa.Array] = []
    if timelines:
        buffer = pa.py_buffer(struct.pack(f"<{len(times)}q", *times))
        columns = [
            pa.Array.from_buffers(_TIME_TYPES[kind], 1, [None, buffer.slice(8 * i, 8)])
            for i, (_, kind) in enumerate(timelines)
        ]
    for index, column_type in form.columns:
        array = arrays[index]
        columns.append(pa.Array.from_buffers(column_type, 1, [None, _offsets(len(array))], 0, 0, [array]))
    return columns


def _encoded(form: Form, columns: list[pa.Array], rows: int) -> EncodedRows:
    batch = pa.RecordBatch.from_arrays(columns, schema=form.schema)
    if not form.stream:
        pieces = message_pieces(batch, len(form.shape.schema)) if batch.nbytes >= LARGE else (batch.serialize(),)
        return EncodedRows(form.shape, pieces, rows, False, form.duplicates)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, form.schema) as writer:
        writer.write_batch(batch)
    return EncodedRows(form.shape, (sink.getvalue(),), rows, True, form.duplicates)


def _in_order(columns: list[pa.Array]) -> list[pa.Array]:
    """Return the rows in the order of the first timeline, as rerun does, unless they are."""
    times = columns[0].view(pa.int64()).to_numpy(zero_copy_only=False)
    if (times[1:] >= times[:-1]).all():
        return columns
    order = pa.array(times.argsort(kind="stable"))
    return [column.take(order) for column in columns]


@lru_cache(maxsize=1024)
def _offsets(length: int) -> pa.Buffer:
    return pa.py_buffer(struct.pack("<2i", 0, length))


def _as_lists(array: pa.Array, column_type: pa.DataType) -> pa.Array:
    if pa.types.is_list(array.type):
        # The same buffers under rerun's name for the items.
        return pa.Array.from_buffers(
            column_type, len(array), array.buffers()[:2], array.null_count, array.offset, [array.values]
        )
    offsets = pa.py_buffer(struct.pack(f"<{len(array) + 1}i", *range(len(array) + 1)))
    return pa.Array.from_buffers(column_type, len(array), [None, offsets], 0, 0, [array])


def _blob_key(archetype: Any, timelines: TimelineNames, is_static: bool) -> BlobKey:
    return (type(archetype), archetype._format, len(archetype._buffer), timelines, is_static)


def _kind_of(name: str, given: pa.DataType) -> TimeKind:
    if pa.types.is_int64(given):
        return TimeKind.SEQUENCE
    if pa.types.is_timestamp(given) and given.unit == "ns":
        return TimeKind.TIMESTAMP
    if pa.types.is_duration(given) and given.unit == "ns":
        return TimeKind.DURATION
    raise InvalidArgumentError(
        f"timeline {name!r} has times of type {given}; they must be int64, timestamp[ns] or duration[ns], "
        "as rerun.TimeColumn makes them"
    )


def _index_field(name: str, kind: TimeKind) -> pa.Field:
    return pa.field(name, _TIME_TYPES[kind], metadata={"rerun:kind": "index", "rerun:index_name": name})


def _component_field(descriptor: ComponentDescriptor, column_type: pa.DataType) -> pa.Field:
    metadata = {"rerun:kind": "data", "rerun:component": descriptor.component}
    if descriptor.archetype is not None:
        metadata["rerun:archetype"] = descriptor.archetype
    if descriptor.component_type is not None:
        metadata["rerun:component_type"] = descriptor.component_type
    return pa.field(descriptor.component, column_type, metadata=metadata)


def _has_dictionary(given: pa.DataType) -> bool:
    if pa.types.is_dictionary(given):
        return True
    if isinstance(given, pa.BaseExtensionType):
        return _has_dictionary(given.storage_type)
    return any(_has_dictionary(given.field(i).type) for i in range(given.num_fields))
