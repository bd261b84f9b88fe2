"""`send_columns`: many rows of one entity in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.api.active import is_foreign, logging_state
from rerun_mp.api.refusals import IMPORT_FAILURES, refuse_amid_import
from rerun_mp.api.rows import append_columns, new_encoder
from rerun_mp.hooks.strictness import warns_unless_strict
from rerun_mp.shm.interruptions import attribute_of

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
    UnfinishedImportError
        In strict mode, if the call interrupts an import of a module that it needs.
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

    given_times, given_columns = list(indexes), list(columns)
    try:
        encoder = state.encoder or new_encoder(state)
        times = encoder.indexes(given_times)
        descriptors, arrays = encoder.components(given_columns)
        append_columns(state, entity_path, times, descriptors, arrays)
    except IMPORT_FAILURES as error:
        if not refuse_amid_import("send_columns", error, _number_of_rows(given_times + given_columns)):
            raise


def _number_of_rows(columns: list[Any]) -> int:
    """Return the number of rows of columns that cannot be encoded; 1 if none of them says it."""
    return next((column._rows for column in columns if isinstance(attribute_of(column, "_rows"), int)), 1)
