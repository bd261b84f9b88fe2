"""`log`: from the user's call into the ring.

A call takes one of two paths. The fast path: the calling thread's lane has an append function for such rows, and `log`
calls it. The slow path: `_log` looks everything up, logs the row, and opens the lane so that the next such call can
take the fast path. Both commit the row to shared memory before they return. Any thread of any process may call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.api import lanes
from rerun_mp.api.active import active_state, is_foreign, is_left_to_rerun, logging_state
from rerun_mp.api.column_rows import ColumnRow, blocks_of_call, combined, is_frequent, row_of_arrays, small_blob
from rerun_mp.api.lanes import active_lanes
from rerun_mp.api.refusals import IMPORT_FAILURES, REFUSALS, refuse, refuse_amid_import
from rerun_mp.api.rows import (
    append,
    append_arrays,
    append_blocks,
    full_path,
    lacks_encoder,
    new_encoder,
    stamp,
)
from rerun_mp.api.times import LOG_TIME
from rerun_mp.encoding.row_layouts import ColumnsLayout
from rerun_mp.encoding.tables import TableShape
from rerun_mp.fast import (
    DEPTH_IMAGE,
    ENCODED_IMAGE,
    IMAGE,
    SCALARS,
    SEGMENTATION_IMAGE,
    TENSOR,
    TEXT_LOG,
    TRANSFORM_3D,
)
from rerun_mp.fast.base import FastMeta
from rerun_mp.fast.general import GENERAL
from rerun_mp.hooks import strictness
from rerun_mp.hooks.strictness import warns_unless_strict
from rerun_mp.producer.open_table import TableRow
from rerun_mp.producer.table_slots import Outcome
from rerun_mp.session import current
from rerun_mp.shm.interruptions import is_from_handler, is_own

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rerun import AsComponents, DescribedComponentBatch, RecordingStream

    from rerun_mp.api.lanes import Lane, Lanes
    from rerun_mp.api.state import RecordingState
    from rerun_mp.encoding.encoder import BlobTemplate
    from rerun_mp.encoding.row_layouts import RowLayout

__all__ = ["log"]

MAX_IN_LANE = 256
"""Maximum append functions in a lane. Further archetypes and layouts of blobs take the slow path."""
TABLED = frozenset({GENERAL, SCALARS, TEXT_LOG, TRANSFORM_3D})
"""Archetypes whose rows go into tables."""
BLOBS = frozenset({DEPTH_IMAGE, ENCODED_IMAGE, IMAGE, SEGMENTATION_IMAGE, TENSOR})
"""Archetypes that hold one large buffer."""
CONSTANT_BLOBS = BLOBS - {ENCODED_IMAGE}
"""Blobs that usually keep their size from row to row."""
WARNINGS = "__warnings"
"""The entity path of warnings, as in rerun."""


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
        Further ones, logged as part of the same row. If a component is given twice, the first one counts.
    static
        Whether the data is timeless. Otherwise the row carries `log_time` and this thread's times (`set_time`).
    recording
        By default the active one. Without any, the call does nothing.
    strict
        Whether a wrong call raises (True) or warns (False); by default as `strict_mode()` says.

    Raises
    ------
    RingFullError
        If the session's policy is `raise`, and there is no room for the row.
    ResourceError, SessionError
        In strict mode, if the row cannot be logged: the ring is full for longer than the policy waits, the system
        refuses something, the session is gone.
    UnfinishedImportError
        In strict mode, if the call interrupts an import of a module that it needs.
    TypeError, ValueError, AttributeError, OverflowError
        In strict mode, if the arguments cannot be logged.

    Warns
    -----
    RerunWarning
        If the arguments cannot be logged and strict mode is off. The call then logs nothing. Likewise if there is no
        room for the row; of each cause, a process warns once. `statistics` counts all such rows.

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
            # That table may be for another row layout of the same archetype.
            if lane.tables[entity._find_row_layout()](entity_path, entity, lane.times):  # type: ignore[arg-type, union-attr]
                return
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # No table is open, it is closed, or it does not know the entity; or the archetype was changed after its
            # making and has no fixed layout any more; or the path is a list of parts. Nothing has been committed. An
            # exception of the program's own, from a signal handler for example, may have come after the commit.
            if not is_own(error):
                raise
        except REFUSALS as error:
            refuse(error, 1, strict=strict)
            return
        if not extra and _log_again(entity_path, entity, extra, static, recording):
            return
    elif (static or extra) and _log_again(entity_path, entity, extra, static, recording):
        return
    if strict is None:
        _log(entity_path, entity, *extra, static=static, recording=recording)
    else:
        _log(entity_path, entity, *extra, static=static, recording=recording, strict=strict)


def _log_again(
    entity_path: str | list[object], entity: Any, extra: tuple[Any, ...], static: bool, recording: object
) -> bool:
    """Log a static row, a row of several archetypes, or a small blob, if the thread's lane has an append for it."""
    if recording is not None or type(static) is not bool:
        return False
    try:
        # `log` has looked for the append of a single row that is not static.
        row = combined(entity, extra) if extra else small_blob(entity) or (entity if static else None)
    except AttributeError as error:  # an object without its constructor's attributes; `_log` says so
        if not is_own(error):
            raise
        return False
    is_fast = type(row) is ColumnRow or (type(type(row)) is FastMeta and row._fast_kind)  # type: ignore[union-attr]
    if not is_fast:
        return False
    return _log_by_lane(active_lanes.lane, entity_path, row, static=static)


def _log_by_lane(lane: Lane, entity_path: str | list[object], row: Any, *, static: bool) -> bool:
    """Log a row if a lane has an append function for such rows."""
    if lane.version != lanes.version:
        return False
    try:
        tables = lane.static_tables if static else lane.tables
        return tables[row._find_row_layout()](entity_path, row, lane.times)  # type: ignore[arg-type]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if not is_own(error):
            raise
        return False


@warns_unless_strict
def _log(
    entity_path: str | list[object],
    entity: AsComponents | Iterable[DescribedComponentBatch],
    *extra: AsComponents | Iterable[DescribedComponentBatch],
    static: bool,
    recording: RecordingStream | None,
    strict: bool | None = None,
) -> None:
    """Log a row on the slow path."""
    try:
        _log_slowly(entity_path, entity, *extra, static=static, recording=recording, strict=strict)
    except IMPORT_FAILURES as error:
        if not refuse_amid_import("log", error, 1):
            raise


def _log_slowly(
    entity_path: str | list[object],
    entity: AsComponents | Iterable[DescribedComponentBatch],
    *extra: AsComponents | Iterable[DescribedComponentBatch],
    static: bool,
    recording: RecordingStream | None,
    strict: bool | None,
) -> None:
    if recording is not None and is_foreign(recording):
        import rerun

        rerun.log(entity_path, entity, *extra, static=static, recording=recording, strict=strict)
        return
    version = lanes.version  # read before the lookups that it guards
    state = logging_state(recording)
    if state is None:
        return
    now = time.time_ns()
    tick = next(state.ticks)
    if not isinstance(static, bool):
        raise TypeError(f"argument 'static': '{type(static).__name__}' object is not an instance of 'bool'")

    # A class given in place of an object has another metaclass.
    kind = entity._fast_kind if type(type(entity)) is FastMeta else 0  # type: ignore[union-attr]
    own_lanes = active_lanes if recording is None else state.lanes
    row = combined(entity, extra) if extra else entity if kind in TABLED else small_blob(entity)
    if row is not None and _log_in_table(state, entity_path, row, own_lanes, version, static=static):
        return
    if lacks_encoder(state):
        found = blocks_of_call(entity, extra)
        if found is not None:
            append_blocks(state, entity_path, *found, now, tick, static=static)
            return
    encoder = state.encoder or new_encoder(state)
    if kind in BLOBS and not extra:
        timelines, times = stamp(state, now, tick, static=static)
        encoded = encoder.blob(entity, timelines, times, is_static=static)
        path = full_path(entity_path)
        append(path, encoded)
        if kind in CONSTANT_BLOBS and not static and not state.has_log_tick:
            template = encoder.blob_template(entity, timelines, is_static=False)
            if template is not None:
                _open_to_blobs(state, entity_path, path, entity, template, tuple(dict(timelines)), own_lanes, version)
        return
    descriptors, arrays = encoder.components(entity, *extra)
    if row is None and arrays:
        row = row_of_arrays(descriptors, arrays)
        if row is not None and (
            _log_by_lane(own_lanes.lane, entity_path, row, static=static)
            or _log_in_table(state, entity_path, row, own_lanes, version, static=static)
        ):
            return
    append_arrays(state, entity_path, descriptors, arrays, now, tick, static=static, recording=recording)


def _log_in_table(
    state: RecordingState,
    entity_path: str | list[object],
    archetype: Any,
    own_lanes: Lanes,
    version: int,
    *,
    static: bool,
) -> bool:
    """Log a row of fixed layout in its table, and open this thread's lane for such calls.

    `version` is `lanes.version` from before the call looked up its recording. Returns False if such rows have no table.
    """
    if state.has_log_tick and not static:
        return False
    joined = current.session()
    point = state.times
    kinds = () if static else point.timelines()
    if joined is None or LOG_TIME in dict(kinds):
        return False
    layout = archetype._find_row_layout()
    row_layout: RowLayout = layout
    if isinstance(layout, ColumnsLayout):
        row_layout = layout.for_blocks(archetype._blocks)
    if (static or row_layout is not layout) and not is_frequent(state, layout, static=static):
        return False
    has_log_time = state.has_log_time and not static
    shape = TableShape(
        state.key, row_layout.value_kind, row_layout.components, has_log_time, kinds, row_layout.row_bytes
    )
    path = full_path(entity_path)
    name = entity_path if isinstance(entity_path, str) else path.decode()
    try:
        outcome, table = joined.append_row(TableRow(shape, name, path, archetype, {} if static else point.values))
    except REFUSALS as error:
        refuse(error, 1)
        return True
    if outcome is Outcome.NOT_A_TABLE:
        return False
    if table is not None:
        lane = _open_lane(state, own_lanes, version)
        if static:
            lane.static_tables[layout] = table.append
        else:
            lane.tables[type(archetype)] = lane.tables[layout] = table.append
        if table.append_number is not None and not static:
            lane.tables[float] = table.append_number
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
    """Open this thread's lane for blobs like `archetype` on the timelines `names`."""
    joined = current.session()
    if joined is None or LOG_TIME in state.times.values:
        return
    blobs = joined.blob_append(template, names, LOG_TIME, archetype)
    if blobs is None:
        return
    blobs.prepare(entity_path if isinstance(entity_path, str) else path.decode(), path)
    tables = _open_lane(state, own_lanes, version).tables
    if len(tables) < MAX_IN_LANE:
        tables[type(archetype)] = tables[archetype._find_row_layout()] = blobs.append


def _open_lane(state: RecordingState, own_lanes: Lanes, version: int) -> Lane:
    """Make the calling thread's lane valid for this recording, and return it."""
    lane, point = own_lanes.lane, state.times
    if lane.version != version:
        point.tables.clear()
        lane.version, lane.tables, lane.static_tables = version, point.tables, {}
        lane.times, lane.sequences = point.values, point.sequences
    return lane


def log_warning(text: str, recording: RecordingStream | None) -> None:
    """Log a warning of ours in the recording that it concerns, under the path that rerun uses for its own."""
    try:
        if active_state(recording) is None or current.session() is None:
            return
        from rerun import TextLog

        log(WARNINGS, TextLog(text, level="WARN"), recording=recording)
    except Exception as error:
        # The program has been warned already. `recording` is no recording, and the warning says so; or the row has no
        # room, and the policy is `raise`; or the system refuses the files that an import needs.
        if is_from_handler(error):
            raise


strictness.connect(log_warning=log_warning, is_left_to_rerun=is_left_to_rerun)
