"""The Arrow schema of a call's rows: its columns, their order and their metadata, as in rerun's own chunks.

Timelines come first, by name, then components, by name. The collector adds row ids and chunk ids::

    log_time            frame               Points3D:positions
    timestamp[ns]       int64               list<item: fixed_size_list<float>[3]>
    rerun:kind=index    rerun:kind=index    rerun:kind=data, rerun:component, rerun:archetype, rerun:component_type

Pure functions; any thread may call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from rerun_mp.encoding.component_arrays import component_field
from rerun_mp.encoding.frames import RecordingKey, Shape
from rerun_mp.encoding.messages import RowTemplate
from rerun_mp.encoding.timepoints import TimeKind, TimelineNames, checked_timeline_name
from rerun_mp.errors import InvalidArgumentError

if TYPE_CHECKING:
    from rerun import ComponentDescriptor

__all__ = ["TIME_TYPES", "CallSchema", "call_schema", "checked_times", "index_field", "time_kind"]

TIME_TYPES = {
    TimeKind.SEQUENCE: pa.int64(),
    TimeKind.TIMESTAMP: pa.timestamp("ns"),
    TimeKind.DURATION: pa.duration("ns"),
}


class CallSchema(NamedTuple):
    """Everything that calls with equal timelines, descriptors and array types share."""

    types: list[pa.DataType]
    """Types of the given arrays, in the given order."""
    columns: tuple[tuple[int, pa.DataType], ...]
    """(index of the given array, type of its column) of each component, in the order of the schema."""
    schema: pa.Schema
    shape: Shape
    is_stream: bool
    """True: rows travel as a whole IPC stream, because a column is dictionary-encoded."""
    duplicates: tuple[ComponentDescriptor, ...]
    """Components that the call gives again; only the first of each is kept."""
    template: RowTemplate
    """Writes the single rows that `log` makes."""


def call_schema(
    recording: RecordingKey,
    descriptors: Sequence[ComponentDescriptor],
    types: list[pa.DataType],
    timelines: TimelineNames,
    *,
    is_static: bool,
    is_row: bool,
) -> CallSchema:
    """Return the schema of a call.

    Parameters
    ----------
    recording
        The recording of the rows.
    descriptors, types
        The components in the given order, and the types of their arrays.
    timelines
        Names and kinds, in the order of the names.
    is_static
        Whether the rows are timeless.
    is_row
        True: each array holds the instances of one row. False: each array holds one element a row.
    """
    # Among equal descriptors, the first counts. Among different descriptors of one component, rerun keeps the last.
    by_component: dict[str, int] = {}
    duplicates = []
    for i, descriptor in enumerate(descriptors):
        if descriptor in descriptors[:i]:
            duplicates.append(descriptor)
        else:
            by_component[descriptor.component] = i
    columns = []
    fields = [index_field(name, kind) for name, kind in timelines]
    for component in sorted(by_component):
        i = by_component[component]
        items = types[i].value_type if not is_row and pa.types.is_list(types[i]) else types[i]
        columns.append((i, pa.list_(items)))
        named = descriptors[i]
        fields.append(component_field(named.component, named.archetype, named.component_type, columns[-1][1]))
    schema = pa.schema(fields)
    return CallSchema(
        types=types,
        columns=tuple(columns),
        schema=schema,
        shape=Shape(recording, is_static, schema.serialize().to_pybytes()),
        is_stream=any(_has_dictionary(field.type) for field in fields),
        duplicates=tuple(duplicates),
        template=RowTemplate(len(timelines), [types[i] for i, _ in columns]),
    )


def checked_times(columns: Iterable[tuple[str, pa.Array]]) -> dict[str, pa.Array]:
    """Return the times by the name of their timeline, checked. Raises as `Encoder.indexes`."""
    arrays: dict[str, pa.Array] = {}
    for given, array in columns:
        name = checked_timeline_name(given)
        if array.null_count:
            raise InvalidArgumentError(
                f"timeline {name!r}: {array.null_count} of {len(array)} times are missing; give each row one"
            )
        time_type = TIME_TYPES[time_kind(name, array.type)]
        arrays[name] = array if array.type == time_type else array.cast(time_type)
    return arrays


def time_kind(name: str, given: pa.DataType) -> TimeKind:
    """Return what times of an Arrow type mean. `name` is the timeline's, for the error.

    Raises
    ------
    InvalidArgumentError
        If the type is none of int64, timestamp[ns] and duration[ns].
    """
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


def index_field(name: str, kind: TimeKind) -> pa.Field:
    """Return the field of a timeline, with the metadata that rerun writes."""
    return pa.field(name, TIME_TYPES[kind], metadata={"rerun:kind": "index", "rerun:index_name": name})


def _has_dictionary(given: pa.DataType) -> bool:
    if pa.types.is_dictionary(given):
        return True
    if isinstance(given, pa.BaseExtensionType):
        return _has_dictionary(given.storage_type)
    return any(_has_dictionary(given.field(i).type) for i in range(given.num_fields))
