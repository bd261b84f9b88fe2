"""Pause and resume: a recording takes no rows for a while. `rerun_mp` loads this module when one of its names is used.

A pause concerns all processes of the session, because the process that pauses is seldom the one that logs. It is part
of the session's configuration, so processes that start later find it, too. Any thread of any process may call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state, leaves_foreign_to_rerun
from rerun_mp.api.lanes import leave_lanes
from rerun_mp.api.sink_setting import session_of
from rerun_mp.session import sink_changes

if TYPE_CHECKING:
    from rerun import RecordingStream

__all__ = ["is_paused", "pause", "resume"]


@leaves_foreign_to_rerun
def pause(recording: RecordingStream | None = None) -> None:
    """Let calls that log to a recording do nothing, in all processes of the session, until `resume`.

    When the call returns, this process logs no more rows. Another process stops after one more row, or, if a thread
    began to log an entity at that moment, within a quarter of a second. Times, sinks and blueprints can be set
    meanwhile.

    Parameters
    ----------
    recording
        By default the active one.

    Raises
    ------
    FlushTimeoutError
        If no collector applies it within RERUN_MP_EXIT_TIMEOUT, 60 s.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.pause()  # doctest: +SKIP
    """
    _set_paused(recording, is_paused=True)


@leaves_foreign_to_rerun
def resume(recording: RecordingStream | None = None) -> None:
    """Let calls log to a recording again after `pause`, whichever process paused it.

    When the call returns, the next row of each process is logged.

    Parameters
    ----------
    recording
        By default the active one.

    Raises
    ------
    FlushTimeoutError
        As in `pause`.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.resume()  # doctest: +SKIP
    """
    _set_paused(recording, is_paused=False)


@leaves_foreign_to_rerun
def is_paused(recording: RecordingStream | None = None) -> bool:
    """Return whether a recording is paused, by any process.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.is_paused()
    False
    """
    state = active_state(recording)
    return state is not None and state.is_paused


def _set_paused(recording: RecordingStream | None, *, is_paused: bool) -> None:
    state = active_state(recording)
    if state is not None:
        sink_changes.set_paused(session_of(state), state.key, is_paused=is_paused)
        leave_lanes()
