"""`rerun-mp snapshot`: ask a running session for a file with everything that its collector still has.

The command takes part in the session until the file is complete, so that the session does not end before.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import InvalidArgumentError, SessionEndedError
from rerun_mp.session.session import Session
from rerun_mp.session.snapshots import take_snapshot
from rerun_mp.shm import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun_mp.monitoring.overview import SessionView

__all__ = ["choose", "default_path", "take"]


def choose(views: Sequence[SessionView], recording_id: str | None) -> tuple[SessionView, RecordingKey]:
    """Return the running session and its recording that are meant: the only one, or the only one with this id.

    Raises
    ------
    InvalidArgumentError
        If there is none, or more than one.
    """
    running = [view for view in views if view.state in ("live", "no collector")]
    found = [
        (view, RecordingKey(*key)) for view in running for key in view.recordings if recording_id in (None, key[1])
    ]
    if len(found) == 1:
        return found[0]
    what = "recording" if recording_id is None else f"recording {recording_id!r}"
    if not found:
        raise InvalidArgumentError(f"no running session has a {what}; `rerun-mp status` lists sessions")
    names = ", ".join(f"{key.recording_id!r} of {key.application_id!r} in {view.name}" for view, key in found)
    raise InvalidArgumentError(f"there is more than one {what}: {names}; name the session, or give --recording ID")


def default_path(application_id: str) -> str:
    """Return a path in the working directory that names the application and the time."""
    name = "".join(one if one.isalnum() or one in "._-" else "_" for one in application_id)
    return f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.rrd"


def take(view: SessionView, key: RecordingKey, path: str, timeout: float) -> int:
    """Have the snapshot written to `path`, and return the file's size in bytes.

    Raises
    ------
    RerunMpError
        If the session ends, or the file is not complete in time; see `take_snapshot`.
    """
    joined = segment.attach(view.segment_path)
    if joined is None or joined.nonce.hex()[:16] != view.name:
        raise SessionEndedError(f"session {view.name} is ending or has ended")
    target = os.path.realpath(path)
    take_snapshot(Session(bytes(32), joined), key, target, wait=True, timeout=timeout)
    return os.path.getsize(target)
