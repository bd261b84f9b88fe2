"""Rows on their way from a call into the ring: entity paths, times, encoding and the append.

Any thread of any process may call. Only `Session.append` waits: for ring space, as the session's policy says. When it
returns, the rows are in shared memory.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rerun_mp.api import lanes
from rerun_mp.api.refusals import REFUSALS, refuse
from rerun_mp.encoding.block_frames import pack_blocks
from rerun_mp.encoding.paths import canonical_entity_path
from rerun_mp.errors import SessionEndedError
from rerun_mp.hooks.strictness import warn_or_raise
from rerun_mp.session import current
from rerun_mp.shm.interruptions import interrupted_imports, is_loaded, unfinished_import

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from rerun import ComponentDescriptor, RecordingStream

    from rerun_mp.api.state import RecordingState
    from rerun_mp.encoding.block_frames import BlockRow
    from rerun_mp.encoding.encoder import EncodedRows, Encoder
    from rerun_mp.encoding.row_layouts import ColumnsLayout
    from rerun_mp.encoding.timepoints import TimelineNames

__all__ = [
    "append",
    "append_arrays",
    "append_blocks",
    "append_columns",
    "append_components",
    "checked_times",
    "full_path",
    "lacks_encoder",
    "new_encoder",
    "set_entity_prefix",
    "stamp",
]

ENCODING = "rerun_mp.encoding."
ENCODER = f"{ENCODING}encoder"
BINDINGS = "rerun_bindings"
"""Rerun's native part, which describes components."""
NEEDED_BY_ENCODER = ("numpy", "pyarrow", "rerun_mp", BINDINGS)
"""Packages whose import, while it is in progress, may lack what the encoder needs."""
CANNOT_BE_REPEATED = ("numpy", "pyarrow", BINDINGS)
"""Those of them that cannot be imported anew while their import is in progress."""
MAX_EARLY_ROWS = 4
"""Rows of a recording that are logged as blocks while the process has not loaded pyarrow, which takes 0.1 s."""

RESERVED = b"/__"
"""The beginning of entity paths under which a recording describes itself. They get no prefix."""

_prefix = b""
"""The prefix of the entity paths of all rows of this process."""


def set_entity_prefix(prefix: str | None) -> None:
    """Put an entity path before the paths of all rows that this process logs from now on. None: no prefix.

    Forked children inherit it. The recording's own properties (`__properties`) get no prefix.

    Raises
    ------
    TypeError
        If `prefix` is no entity path.
    """
    global _prefix
    path = b"" if prefix is None else canonical_entity_path(prefix)
    path = b"" if path == b"/" else path
    if path == _prefix:
        return
    _prefix = path
    # Open tables map the names of entities to paths with the old prefix.
    lanes.leave_lanes()
    joined = current.session()
    if joined is not None:
        joined.renew_producer()


def full_path(entity_path: str | list[object]) -> bytes:
    """Return the canonical path of an entity, with the prefix."""
    path = canonical_entity_path(entity_path)
    return path if not _prefix or path.startswith(RESERVED) else _prefix + path


def stamp(state: RecordingState, now: int, tick: int, *, static: bool) -> tuple[TimelineNames, list[int]]:
    """Return the timelines and times of a row that is logged now (ns since the Unix epoch); none for static data."""
    if static:
        return (), []
    return state.times.stamp(now if state.has_log_time else None, tick if state.has_log_tick else None)


def new_encoder(state: RecordingState) -> Encoder:
    """Make the recording's encoder.

    Raises
    ------
    ImportError
        If the call interrupts an import that the encoder needs.
    """
    unfinished = unfinished_import(CANNOT_BE_REPEATED)
    if unfinished is not None:
        raise ImportError(f"the import of {unfinished!r} is in progress", name=unfinished)
    for name in interrupted_imports():
        if name.startswith(ENCODING):
            # A module of which only a part has run. The import below runs it anew, and the interrupted import takes
            # over the result.
            sys.modules.pop(name, None)
    # This import loads pyarrow. A process that logs nothing must not.
    from rerun_mp.encoding.encoder import Encoder

    state.encoder = Encoder(state.key)
    return state.encoder


def append_blocks(
    state: RecordingState,
    entity_path: str | list[object],
    layout: ColumnsLayout,
    blocks: list[Any],
    now: int,
    tick: int,
    *,
    static: bool,
) -> None:
    """Log one row of blocks, stamped with the time (ns) and the tick of the call. This needs no import.

    Raises
    ------
    RingFullError
        As in `log`.
    """
    path = full_path(entity_path)
    timelines, times = stamp(state, now, tick, static=static)
    append(path, pack_blocks(state.key, layout.components, blocks, timelines, times, is_static=static))


def lacks_encoder(state: RecordingState) -> bool:
    """Say whether a row that has blocks is logged as such, because the encoder is not loaded.

    The first rows of a program that has not loaded pyarrow do without it. So does a call that interrupts an import on
    which the encoder depends: it could neither finish that import nor wait for it.
    """
    if is_loaded(ENCODER) and is_loaded(BINDINGS):
        return False
    if "pyarrow" not in sys.modules and state.rows_in_blocks < MAX_EARLY_ROWS:
        state.rows_in_blocks += 1
        return True
    return any(name.partition(".")[0] in NEEDED_BY_ENCODER for name in interrupted_imports())


def append_components(
    state: RecordingState, entity_path: str, descriptors: list[ComponentDescriptor], arrays: list[Any], *, static: bool
) -> None:
    """Log one row of components that rerun's own code has made from the user's arguments.

    Raises
    ------
    RingFullError
        As in `log`.
    """
    if state.is_paused:
        return
    now, tick = time.time_ns(), next(state.ticks)
    append_arrays(state, entity_path, descriptors, arrays, now, tick, static=static, recording=None)


def append_arrays(
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
    """Log one row of component arrays, stamped with the time (ns) and the tick of the call."""
    path = full_path(entity_path)
    if not arrays:
        return
    timelines, times = stamp(state, now, tick, static=static)
    encoder = state.encoder or new_encoder(state)
    encoded = encoder.row(descriptors, arrays, timelines, times, is_static=static)
    for descriptor in encoded.duplicates:
        warn_or_raise(
            f"Component {descriptor} was included multiple times. Only the first instance will be used.", recording
        )
    append(path, encoded)


def append_columns(
    state: RecordingState,
    entity_path: str,
    times: dict[str, Any],
    descriptors: list[ComponentDescriptor],
    arrays: list[Any],
) -> None:
    """Log many rows: one column of times per timeline, and one column of lists per component.

    Raises
    ------
    RingFullError
        As in `send_columns`.
    ValueError
        If the columns differ in length.
    """
    if state.is_paused:
        return
    encoder = state.encoder or new_encoder(state)
    _check_lengths(times, descriptors, arrays)
    encoded = encoder.columns(times, descriptors, arrays)
    if encoded.rows:
        append(full_path(entity_path), encoded)


def checked_times(columns: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the times of each timeline in the form that `append_columns` takes. Raises as `Encoder.indexes`."""
    from rerun_mp.encoding.schemas import checked_times

    return checked_times(columns)


def _check_lengths(times: dict[str, Any], descriptors: list[Any], arrays: list[Any]) -> None:
    named = [(f"timeline {name!r}", len(array)) for name, array in times.items()]
    named += [(f"component {descr.component!r}", len(array)) for descr, array in zip(descriptors, arrays, strict=True)]
    for name, length in named[1:]:
        if length != named[0][1]:
            raise ValueError(
                f"All columns must have the same length: {named[0][0]} has {named[0][1]} rows, but {name} has {length}"
            )


def append(entity_path: bytes, encoded: EncodedRows | BlockRow) -> None:
    """Append encoded rows to the ring. If that fails, `refusals` says what the call does.

    Raises
    ------
    ResourceError, SessionError
        In strict mode, if the rows cannot be logged.
    RingFullError
        As in `log`.
    """
    try:
        joined = current.session()
        if joined is None:
            raise SessionEndedError(
                "the session of this process tree has ended, so the row has nowhere to go; call rerun_mp.init() again"
            )
        joined.append(encoded.shape, entity_path, encoded.pieces, encoded.rows, encoded.kind)
    except REFUSALS as error:
        refuse(error, encoded.rows)
