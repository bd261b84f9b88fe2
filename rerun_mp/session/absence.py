"""Rows that a process logs in no session, because it belongs to none while a process above it belongs to one.

As in rerun, `log` before `init` does nothing and warns of nothing. But a child of a program that logs is expected to
log, too. If the child cannot find the session, it warns once, and says at its exit how many calls went nowhere. Any
thread may call.
"""

from __future__ import annotations

import atexit
import os

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
from rerun_mp.errors import ResourceError
from rerun_mp.session import identity, kinship
from rerun_mp.standard_error import tell

__all__ = ["is_told", "note_call", "tell_reason"]

_lacks_session: bool | None = None
"""Whether a session exists that this process should have found; None: not known yet. A forked child inherits it."""
_calls = 0
"""Calls that went nowhere, if `_lacks_session`."""


def note_call() -> None:
    """Note a call that logs, in a process without a session. The first one may warn."""
    global _lacks_session, _calls
    if _lacks_session is None:
        reason = _reason()
        _lacks_session = False
        if reason is not None:
            tell_reason(reason)
    if _lacks_session:
        _calls += 1


def tell_reason(reason: str) -> None:
    """Warn that calls go nowhere, and count them from now on. The first reason is told only."""
    global _lacks_session
    if not _lacks_session:
        _lacks_session = True
        tell(f"rerun_mp: {reason}\n")
        atexit.register(_tell)


def is_told() -> bool:
    """Say whether this process, or one that it was forked from, has warned that its calls go nowhere."""
    return bool(_lacks_session)


def _reason() -> str | None:
    """Return why this process has no session though others around it have one, and what to do."""
    try:
        if identity.is_named_session_over():
            return (
                f"{ENVIRONMENT_VARIABLE} names a session that had ended before this process was started. What this "
                "process logs goes nowhere until it calls rerun_mp.init()."
            )
    except ResourceError:
        return None  # a process that searches for its session has said so
    inodes = kinship.segment_inodes()
    for pid in kinship.ancestors(os.getpid()) if inodes else ():
        if kinship.uses_segment(pid, inodes):
            return (
                f"process {pid} has started this one and logs in a session, which this process cannot find. What this "
                f"process logs goes nowhere. Pass the variable {ENVIRONMENT_VARIABLE} on to it (see "
                "rerun_mp.integrations.launchers.environment), or call rerun_mp.init()."
            )
    return None


def _tell() -> None:
    if _calls > 1:
        tell(f"rerun_mp: {_calls} calls of this process logged in no session\n")
