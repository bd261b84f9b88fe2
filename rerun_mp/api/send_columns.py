"""`send_columns`: many rows of one entity in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api.active import is_foreign, logging_state
from rerun_mp.api.rows import append_columns, new_encoder
from rerun_mp.hooks.strictness import warns_unless_strict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rerun import ComponentColumn, RecordingStream
    from rerun._send_columns import TimeColumnLike

__all__ = ["send_columns"]


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

    The call ignores the times that this thread has set with `set_time`, and adds neither `log_time` nor `log_tick`.

    Parameters
    ----------
    entity_path
        Where in the entity hierarchy: a string split at slashes, special characters escaped.
    indexes
        A column of times for each timeline, such as `rerun_mp.TimeColumn`. An empty list: the data is static.
    columns
        A column for each component, as long as the indexes, such as `rerun_mp.Scalars.columns(...)` returns.
    recording
        By default the active one. Without any, the call does nothing.
    strict
        Whether a wrong call raises (True) or warns (False); by default as `strict_mode()` says.

    Raises
    ------
    RingFullError
        If the session's policy is `raise`, and there is no room for the rows.
    ResourceError, SessionError
        In strict mode, if the rows cannot be logged; see `log`.
    TypeError, ValueError, AttributeError
        In strict mode, if the arguments cannot be logged: for example, if columns differ in length.

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
    state = logging_state(recording)
    if state is None:
        return
    if not isinstance(entity_path, str):
        raise TypeError(f"argument 'entity_path': '{type(entity_path).__name__}' object is not an instance of 'str'")

    encoder = state.encoder or new_encoder(state)
    times = encoder.indexes(indexes)
    descriptors, arrays = encoder.components(list(columns))
    append_columns(state, entity_path, times, descriptors, arrays)
