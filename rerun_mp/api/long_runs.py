"""Files of long runs: parts one after the other. `rerun_mp` loads this module when one of its names is used.

Any thread of any process may call.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.api.active import active_state, leaves_foreign_to_rerun
from rerun_mp.api.sink_setting import session_of
from rerun_mp.hooks.strictness import warn
from rerun_mp.session import sink_changes
from rerun_mp.session.rotation import ClosedPart, Rotation, closed_parts

if TYPE_CHECKING:
    from rerun import RecordingStream

__all__ = ["ClosedPart", "Rotation", "next_episode", "parts"]


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
