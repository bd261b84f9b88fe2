"""Which recording a call goes to, as handles of the base class; `selection` has the public functions.

A call goes to the recording it names, else to the thread's own, else to the process's global one. A process that has
joined a session and has never set its global recording uses the session's default, so a worker needs no `init`.

Fork: a child inherits the global recording, and its first thread the recording and times of the forking thread.
Threads: the global recording is one reference, replaced whole; the thread's recording is thread-local.
"""

from __future__ import annotations

import sys
import threading
import time
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rerun_mp.api.handle import RecordingHandle, handle_of
from rerun_mp.api.lanes import leave_lanes
from rerun_mp.errors import ResourceError, WrongKindError
from rerun_mp.session import absence, current
from rerun_mp.shm.interruptions import is_from_handler, is_own

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.api.state import RecordingState

__all__ = [
    "active_recording_stream",
    "active_state",
    "global_recording",
    "is_foreign",
    "is_left_to_rerun",
    "leaves_foreign_to_rerun",
    "logging_state",
    "recording_of_call",
    "replace_global_recording",
    "replace_thread_recording",
    "thread_recording",
]

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_LOOKUP_SECS = 0.05
"""Seconds between two lookups of the session's default recording while it has none."""

active_recording_stream: ContextVar[RecordingHandle | None] = ContextVar("active_recording_stream", default=None)
"""The innermost `with recording:`. It detects generators that leave theirs open."""

_global: RecordingHandle | None = None
_is_chosen = False
"""Whether this process, or a process it was forked from, has set its global recording, even to None."""
_next_lookup = 0.0


class _ThreadRecording(threading.local):
    recording: RecordingHandle | None = None


_thread = _ThreadRecording()


def recording_of_call(recording: object = None) -> object:
    """Return the recording that a call goes to: `recording`, else the thread's, else the global one."""
    if recording is not None:
        return recording
    return _thread.recording or global_recording()


def active_state(recording: object = None) -> RecordingState | None:
    """Return the state of the recording that a call goes to. None: there is none, or it is disabled.

    Raises
    ------
    TypeError
        If `recording` is no `RecordingStream`.
    """
    stream = recording_of_call(recording)
    try:
        return None if stream is None else stream.state  # type: ignore[attr-defined]
    except AttributeError as error:
        if is_from_handler(error):
            raise
    try:
        # Rerun's own functions wrap our recordings in rerun's handles.
        return stream.inner.state  # type: ignore[attr-defined, no-any-return]
    except AttributeError as error:
        if is_from_handler(error):
            raise
        raise _not_a_recording(stream) from None


def logging_state(recording: object) -> RecordingState | None:
    """Return the state of the recording that a call logs to. None: the call logs nothing.

    There is no recording, or it is disabled or paused. A process whose session is missing counts the call.

    Raises
    ------
    TypeError
        If `recording` is no `RecordingStream`.
    """
    state = active_state(recording)
    if state is None:
        if recording is None and _lacks_session():
            absence.note_call()
        return None
    return None if state.is_paused else state


def _lacks_session() -> bool:
    """Return whether calls go nowhere because this process has chosen no recording and has no session."""
    return (
        not _is_chosen
        and _global is None
        and _thread.recording is None
        and (absence.is_told() or current.session() is None)
    )


def is_foreign(recording: object) -> bool:
    """Return whether `recording` was made by `rerun.RecordingStream`. Such calls go to rerun."""
    theirs = getattr(sys.modules.get("rerun.recording_stream"), "RecordingStream", None)
    return theirs is not None and isinstance(recording, theirs) and not hasattr(recording.inner, "state")


def is_left_to_rerun(recording: object) -> bool:
    """Return whether a call of rerun's own functions stays there: it names rerun's recording, or none is active."""
    return is_foreign(recording) or (recording is None and active_state() is None)


def leaves_foreign_to_rerun(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function so that calls for rerun's own recordings go to rerun's function of the same name."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if "rerun" in sys.modules and any(map(is_foreign, (*args, *kwargs.values()))):
            namesake: Callable[P, R] = getattr(sys.modules["rerun"], function.__name__)
            return namesake(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapper


def global_recording() -> RecordingHandle | None:
    """Return the recording of all threads that have none of their own, or None."""
    return _global if _is_chosen else _default_of_session()


def replace_global_recording(recording: RecordingHandle | None) -> RecordingHandle | None:
    """Set the global recording and return the previous one. Raises `TypeError` for anything else."""
    global _global, _is_chosen
    _check_recording(recording)
    before = global_recording()
    _global, _is_chosen = recording, True
    leave_lanes()
    return before


def thread_recording() -> RecordingHandle | None:
    """Return the recording of the calling thread, or None."""
    return _thread.recording


def replace_thread_recording(recording: RecordingHandle | None) -> RecordingHandle | None:
    """Set the calling thread's recording and return the previous one. Raises `TypeError` for anything else."""
    _check_recording(recording)
    before, _thread.recording = _thread.recording, recording
    leave_lanes()
    return before


def _check_recording(recording: object) -> None:
    if not isinstance(recording, RecordingHandle | None):
        raise _not_a_recording(recording)


def _not_a_recording(given: object) -> WrongKindError:
    kind = type(given)
    return WrongKindError(
        f"argument 'recording': '{kind.__module__}.{kind.__qualname__}' object is no rerun_mp.RecordingStream; "
        "give one, or None for the active one"
    )


def _default_of_session() -> RecordingHandle | None:
    global _global, _next_lookup
    if _global is not None:
        return _global
    now = time.monotonic()
    if now < _next_lookup:
        return None
    _next_lookup = now + DEFAULT_LOOKUP_SECS
    joined = current.session()
    try:
        key = joined.config().default if joined is not None else None
    except OSError as error:
        # No descriptor is free, or this process has changed its user. The next lookup tries again.
        if not is_own(error):
            raise
        return None
    except ResourceError as error:
        absence.tell_reason(f"{error} What this process logs goes nowhere until it calls rerun_mp.init().")
        return None
    if key is None:
        return None
    _global = handle_of(key)
    leave_lanes()
    return _global
