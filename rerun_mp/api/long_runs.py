"""Files of long runs: parts one after the other. `rerun_mp` loads this module when one of its names is used.

Any thread of any process may call.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state, leaves_foreign_to_rerun
from rerun_mp.api.sink_setting import session_of
from rerun_mp.api.sinks import FileSink
from rerun_mp.hooks.strictness import warn
from rerun_mp.session import sink_changes
from rerun_mp.session.rotation import ClosedPart, Rotation, closed_parts
from rerun_mp.session.snapshots import take_snapshot

if TYPE_CHECKING:
    from rerun import RecordingStream

__all__ = ["ClosedPart", "Rotation", "next_episode", "parts", "snapshot"]


@leaves_foreign_to_rerun
def next_episode(recording: RecordingStream | None = None) -> None:
    """End the present part of a recording's file that rotates; later rows go to the next part.

    Rows that any process has logged before are in the present part or an earlier one. When the call returns, the
    present part is complete or becomes so within a moment. A part without rows does not end.

    Parameters
    ----------
    recording
        By default the active one.

    Raises
    ------
    FlushTimeoutError
        If the rows of all processes are not stored in time (RERUN_MP_EXIT_TIMEOUT, 60 s).

    Warns
    -----
    RerunWarning
        If no file of the recording rotates.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.save("run.rrd", rotate=rr.Rotation())  # doctest: +SKIP
    >>> rr.next_episode()  # doctest: +SKIP
    """
    state = active_state(recording)
    if state is not None and not sink_changes.next_episode(session_of(state), state.key):
        warn("next_episode: no file of the recording rotates; give save(path, rotate=Rotation()).", recording)


@leaves_foreign_to_rerun
def snapshot(
    path: str | os.PathLike[str],
    *,
    recording: RecordingStream | None = None,
    wait: bool = True,
    timeout: float | None = None,
) -> None:
    """Write everything that the collector still has of a recording into one complete .rrd file, and go on.

    Of a file that rotates these are the parts that stay: with `Rotation(keep_last=60)` the last 60 s. The file has all
    rows that any process has logged before the call, and the newest static data. Any process of the session may call.
    An existing file is overwritten.

    Parameters
    ----------
    path
        The path of the file.
    recording
        By default the active one.
    wait
        Whether the file is complete when the call returns. False: the request cannot be lost any more, also if this
        process is killed; the collector writes the file.
    timeout
        Maximum seconds until the rows are stored, and again until the file is complete. By default
        RERUN_MP_EXIT_TIMEOUT, 60 s.

    Raises
    ------
    ResourceError
        If the file cannot be written, or the recording has no rows.
    FlushTimeoutError
        If that takes longer than `timeout`. The collector goes on.
    InvalidArgumentError
        If the session writes to `path`.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.save("black_box.rrd", rotate=rr.Rotation(keep_last=60))  # doctest: +SKIP
    >>> rr.snapshot("incident.rrd")  # doctest: +SKIP
    """
    state = active_state(recording)
    if state is None:
        return
    joined = session_of(state)
    target = FileSink(path).spec(None).target
    take_snapshot(
        joined, state.key, target, wait=wait, timeout=joined.settings.exit_timeout if timeout is None else timeout
    )


def parts(path: str | os.PathLike[str]) -> list[ClosedPart]:
    """Return the complete parts of a file that rotates, in the order of their completion. They may have been removed.

    Parameters
    ----------
    path
        The path that `save` was given: run.rrd, not run.0001.rrd.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.parts("no_run.rrd")
    []
    """
    return closed_parts(os.path.realpath(os.fsdecode(path)))
