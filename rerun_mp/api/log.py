"""`log` and `send_columns`: from the user's call into the ring.

Whatever thread and process calls, nothing here waits but `Session.append`, for ring space and by the session's policy.
When a call returns, its rows are in shared memory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.api import lanes
from rerun_mp.api.active import active_state, is_foreign, is_left_to_rerun
from rerun_mp.api.lanes import active_lanes
from rerun_mp.api.times import LOG_TIME
from rerun_mp.encoding.paths import canonical_entity_path
from rerun_mp.encoding.tables import TableShape
from rerun_mp.errors import RingFullError, SessionEndedError
from rerun_mp.fast import (
    DEPTH_IMAGE,
    ENCODED_IMAGE,
    IMAGE,
    POINTS_2D,
    POINTS_3D,
    SCALARS,
    SEGMENTATION_IMAGE,
    TENSOR,
    TEXT_LOG,
    TRANSFORM_3D,
)
from rerun_mp.fast.base import FastMeta
from rerun_mp.hooks import strictness
from rerun_mp.hooks.strictness import warn_or_raise, warns_unless_strict
from rerun_mp.producer.open_table import TableRow
from rerun_mp.producer.table_slots import Outcome
from rerun_mp.session import current

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rerun import AsComponents, ComponentColumn, ComponentDescriptor, DescribedComponentBatch, RecordingStream
    from rerun._send_columns import TimeColumnLike

    from rerun_mp.api.lanes import Lanes
    from rerun_mp.api.state import RecordingState
    from rerun_mp.encoding.encoder import BlobTemplate, EncodedRows, Encoder
    from rerun_mp.encoding.tables import RowLayout
    from rerun_mp.encoding.timepoints import TimelineNames
    from rerun_mp.producer.hot_appends import Append

__all__ = ["append_columns", "append_components", "checked_times", "log", "send_columns", "set_entity_prefix"]

MAX_IN_LANE = 256
"""Of different archetypes and layouts; others of blobs go the long way."""
TABLED = frozenset({POINTS_2D, POINTS_3D, SCALARS, TEXT_LOG, TRANSFORM_3D})
BLOBS = frozenset({DEPTH_IMAGE, ENCODED_IMAGE, IMAGE, SEGMENTATION_IMAGE, TENSOR})
TIMELY_BLOBS = BLOBS - {ENCODED_IMAGE}
"""Those of which one is as large as the one before."""
WARNINGS = "__warnings"
RESERVED = b"/__"
"""How paths begin of what is said of the recording itself."""

_prefix = b""
"""What goes before the paths of all of this process's rows."""


def set_entity_prefix(prefix: str | None) -> None:
    """Have an entity path go before those of all rows that this process logs from now on. None: none.

    Forked children have it, too. What the recording says of itself (`__properties`) has none.

    Raises
    ------
    TypeError
        If it is no entity path.
    """
    global _prefix
    path = b"" if prefix is None else canonical_entity_path(prefix)
    path = b"" if path == b"/" else path
    if path == _prefix:
        return
    _prefix = path
    # What loops know by an entity's name has another path now.
    lanes.leave_lanes()
    joined = current.session()
    if joined is not None:
        joined.renew_producer()


def _full_path(entity_path: str | list[object]) -> bytes:
    path = canonical_entity_path(entity_path)
    return path if not _prefix or path.startswith(RESERVED) else _prefix + path


def log(
    entity_path: str | list[object],
    entity: AsComponents | Iterable[DescribedComponentBatch],
    *extra: AsComponents | Iterable[DescribedComponentBatch],
    static: bool = False,
    recording: RecordingStream | None = None,
    strict: bool | None = None,
) -> None:
    r"""Log one row of data on an entity. When it returns, the row is safe, whatever happens to this process.

    Parameters
    ----------
    entity_path
        Where in the entity hierarchy: a string split at slashes, special characters escaped, or a list of unescaped
        parts. See <https://www.rerun.io/docs/concepts/logging-and-ingestion/entity-path>.
    entity
        Any of rerun's archetypes, anything else with `as_component_batches()`, or an iterable of described component
        batches.
    *extra
        More of them, logged as part of the same row. Of a component that is given twice, the first counts.
    static
        Whether the data is timeless. Otherwise it carries `log_time` and what this thread has set with `set_time`.
    recording
        By default the active one. Without any, the call does nothing.
    strict
        Whether a wrong call raises (True) or warns (False), in place of `strict_mode()`.

    Raises
    ------
    RingFullError
        If the session's policy says so, and the ring stays full.
    TypeError, ValueError, AttributeError, OverflowError
        In strict mode, if the arguments cannot be logged.

    Warns
    -----
    RerunWarning
        If not in strict mode and the arguments cannot be logged; nothing is, then.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.log("robot/arm", rr.Points3D([[1.0, 2.0, 3.0]]), static=True)
    """
    lane = active_lanes.lane
    if lane.version == lanes.version and recording is None and static is False and not extra:
        try:
            if lane.tables[type(entity)](entity_path, entity, lane.times):  # type: ignore[arg-type]
                return
            # That table may be for another layout of such archetypes.
            if lane.tables[entity._row_layout](entity_path, entity, lane.times):  # type: ignore[arg-type, union-attr]
                return
        except (AttributeError, KeyError, TypeError):
            # There is no table yet, or it does not know the entity; the archetype has been changed since it was made
            # and is no longer one of fixed layout; or the path is a list of parts. Nothing has been committed.
            pass
    if strict is None:
        _log(entity_path, entity, *extra, static=static, recording=recording)
    else:
        _log(entity_path, entity, *extra, static=static, recording=recording, strict=strict)


@warns_unless_strict
def _log(
    entity_path: str | list[object],
    entity: AsComponents | Iterable[DescribedComponentBatch],
    *extra: AsComponents | Iterable[DescribedComponentBatch],
    static: bool,
    recording: RecordingStream | None,
    strict: bool | None = None,
) -> None:
    """Log a row that is not in the lane."""
    if recording is not None and is_foreign(recording):
        import rerun

        rerun.log(entity_path, entity, *extra, static=static, recording=recording, strict=strict)
        return
    version = lanes.version  # read before the lookups that it guards
    state = active_state(recording)
    if state is None:
        return
    now = time.time_ns()
    tick = next(state.ticks)
    if not isinstance(static, bool):
        raise TypeError(f"argument 'static': '{type(static).__name__}' object is not an instance of 'bool'")

    # Of a class, given where an object is meant, the class is no fast one.
    kind = entity._fast_kind if type(type(entity)) is FastMeta else 0  # type: ignore[union-attr]
    if (
        kind in TABLED
        and not extra
        and not static
        and not state.has_log_tick
        and _log_in_table(state, entity_path, entity, active_lanes if recording is None else state.lanes, version)
    ):
        return
    encoder = state.encoder or _new_encoder(state)
    if kind in BLOBS and not extra:
        timelines, times = _stamp(state, now, tick, static=static)
        encoded = encoder.blob(entity, timelines, times, is_static=static)
        path = _full_path(entity_path)
        _append(path, encoded)
        if kind in TIMELY_BLOBS and not static and not state.has_log_tick:
            template = encoder.blob_template(entity, timelines, is_static=False)
            if template is not None:
                own = active_lanes if recording is None else state.lanes
                _open_to_blobs(state, entity_path, path, entity, template, tuple(dict(timelines)), own, version)
        return
    descriptors, arrays = encoder.components(entity, *extra)
    _append_components(state, entity_path, descriptors, arrays, now, tick, static=static, recording=recording)


def append_components(
    state: RecordingState, entity_path: str, descriptors: list[ComponentDescriptor], arrays: list[Any], *, static: bool
) -> None:
    """Log one row of components that rerun's own code has made of what the user gave it.

    Raises
    ------
    RingFullError
        As `log`.
    """
    now, tick = time.time_ns(), next(state.ticks)
    _append_components(state, entity_path, descriptors, arrays, now, tick, static=static, recording=None)


def append_columns(
    state: RecordingState,
    entity_path: str,
    times: dict[str, Any],
    descriptors: list[ComponentDescriptor],
    arrays: list[Any],
) -> None:
    """Log many rows: a column of times for each timeline, and one of lists for each component.

    Raises
    ------
    RingFullError
        As `send_columns`.
    ValueError
        If the columns differ in length.
    """
    encoder = state.encoder or _new_encoder(state)
    _check_lengths(times, descriptors, arrays)
    encoded = encoder.columns(times, descriptors, arrays)
    if encoded.rows:
        _append(_full_path(entity_path), encoded)


def checked_times(columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the times of each timeline as `append_columns` takes them. Raises as `Encoder.indexes`."""
    from rerun_mp.encoding.schemas import checked_times

    return checked_times(columns)


def _append_components(
    state: RecordingState,
    entity_path: str | list[object],
    descriptors: list[ComponentDescriptor],
    arrays: list[Any],
    now: int,
    tick: int,
    *,
    static: bool,
    recording: RecordingStream | None,
) -> None:
    path = _full_path(entity_path)
    if not arrays:
        return
    timelines, times = _stamp(state, now, tick, static=static)
    encoder = state.encoder or _new_encoder(state)
    encoded = encoder.row(descriptors, arrays, timelines, times, is_static=static)
    for descriptor in encoded.duplicates:
        warn_or_raise(
            f"Component {descriptor} was included multiple times. Only the first instance will be used.", recording
        )
    _append(path, encoded)


def _stamp(state: RecordingState, now: int, tick: int, *, static: bool) -> tuple[TimelineNames, list[int]]:
    if static:
        return (), []
    return state.times.stamp(now if state.has_log_time else None, tick if state.has_log_tick else None)


def _log_in_table(
    state: RecordingState, entity_path: str | list[object], archetype: Any, own_lanes: Lanes, version: int
) -> bool:
    """Log an archetype of fixed layout in its table, and open this thread's lane to calls like this.

    `version` is `lanes.version` from before the call found its recording. False: such rows have no table.
    """
    joined = current.session()
    point = state.times
    kinds = point.timelines()
    if joined is None or any(name == LOG_TIME for name, _ in kinds):
        return False
    layout: RowLayout = archetype._row_layout
    shape = TableShape(state.key, *layout, state.has_log_time, kinds)
    path = _full_path(entity_path)
    name = entity_path if isinstance(entity_path, str) else path.decode()
    outcome, table = joined.append_row(TableRow(shape, name, path, archetype, point.values))
    if outcome is Outcome.NOT_A_TABLE:
        return False
    if table is not None:
        tables = _open_lane(state, own_lanes, version)
        tables[type(archetype)] = tables[layout] = table.append
        if table.append_number is not None:
            tables[float] = table.append_number
    return True


def _open_to_blobs(
    state: RecordingState,
    entity_path: str | list[object],
    path: bytes,
    archetype: Any,
    template: BlobTemplate,
    names: tuple[str, ...],
    own_lanes: Lanes,
    version: int,
) -> None:
    """Open this thread's lane to calls like this, whose archetype is a blob and whose timelines are `names`."""
    joined = current.session()
    if joined is None or LOG_TIME in state.times.values:
        return
    blobs = joined.blob_append(template, names, LOG_TIME, archetype)
    if blobs is None:
        return
    blobs.know(entity_path if isinstance(entity_path, str) else path.decode(), path)
    tables = _open_lane(state, own_lanes, version)
    if len(tables) < MAX_IN_LANE:
        tables[type(archetype)] = tables[archetype._row_layout] = blobs.append


def _open_lane(state: RecordingState, own_lanes: Lanes, version: int) -> dict[object, Append]:
    """Make the calling thread's lane this recording's, and return what it finds there."""
    lane, point = own_lanes.lane, state.times
    if lane.version != version:
        point.tables.clear()
        lane.version, lane.tables = version, point.tables
        lane.times, lane.sequences = point.values, point.sequences
    return point.tables


@warns_unless_strict
def send_columns(
    entity_path: str,
    indexes: Iterable[TimeColumnLike],
    columns: Iterable[ComponentColumn],
    *,
    recording: RecordingStream | None = None,
    strict: bool | None = None,
) -> None:
    """Log many rows of data on an entity at once, column by column.

    What this thread has set with `set_time` is ignored, and neither `log_time` nor `log_tick` is added.

    Parameters
    ----------
    entity_path
        Where in the entity hierarchy: a string split at slashes, special characters escaped.
    indexes
        A column of times for each timeline, such as `rerun_mp.TimeColumn`. None: the data is static.
    columns
        A column for each component, as long as the indexes, such as `rerun_mp.Scalars.columns(...)` yields.
    recording
        By default the active one. Without any, the call does nothing.
    strict
        Whether a wrong call raises (True) or warns (False), in place of `strict_mode()`.

    Raises
    ------
    RingFullError
        If the session's policy says so, and the ring stays full.
    TypeError, ValueError, AttributeError
        In strict mode, if the arguments cannot be logged; for example, if columns differ in length.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> times = rr.TimeColumn("step", sequence=range(3))
    >>> rr.send_columns("loss", [times], rr.Scalars.columns(scalars=[0.5, 0.4, 0.3]))
    """
    if recording is not None and is_foreign(recording):
        import rerun

        rerun.send_columns(entity_path, indexes, columns, recording=recording, strict=strict)
        return
    state = active_state(recording)
    if state is None:
        return
    if not isinstance(entity_path, str):
        raise TypeError(f"argument 'entity_path': '{type(entity_path).__name__}' object is not an instance of 'str'")

    encoder = state.encoder or _new_encoder(state)
    times = encoder.indexes(indexes)
    descriptors, arrays = encoder.components(list(columns))
    append_columns(state, entity_path, times, descriptors, arrays)


def log_warning(text: str, recording: RecordingStream | None) -> None:
    """Log a warning of ours to the recording that it is about, where rerun logs its own."""
    try:
        if active_state(recording) is None or current.session() is None:
            return
    except TypeError:
        return  # `recording` is none, and this is what the user has been warned of
    from rerun import TextLog

    try:
        log(WARNINGS, TextLog(text, level="WARN"), recording=recording)
    except RingFullError:
        return  # the user has been warned, and asked for no waiting


def _check_lengths(times: dict[str, Any], descriptors: list[Any], arrays: list[Any]) -> None:
    named = [(f"timeline {name!r}", len(array)) for name, array in times.items()]
    named += [(f"component {descr.component!r}", len(array)) for descr, array in zip(descriptors, arrays, strict=True)]
    for name, length in named[1:]:
        if length != named[0][1]:
            raise ValueError(
                f"All columns must have the same length: {named[0][0]} has {named[0][1]} rows, but {name} has {length}"
            )


def _new_encoder(state: RecordingState) -> Encoder:
    # Not imported at the top: it loads pyarrow, which a process that logs nothing does without.
    from rerun_mp.encoding.encoder import Encoder

    state.encoder = Encoder(state.key)
    return state.encoder


def _append(entity_path: bytes, encoded: EncodedRows) -> None:
    joined = current.session()
    if joined is None:
        raise SessionEndedError(
            "the session of this process tree has ended, so the row has nowhere to go; call rerun_mp.init() again"
        )
    joined.append(encoded.shape, entity_path, encoded.pieces, encoded.rows, stream=encoded.stream)


strictness.connect(log_warning=log_warning, is_left_to_rerun=is_left_to_rerun)
