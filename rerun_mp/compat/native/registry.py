"""The replacements of rerun's native functions, the functions that they replace, and how a call is divided among them.

The tables are filled while modules are loaded. Any thread may read them, and a forked child inherits them.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rerun_mp.api.active import active_state, thread_recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun import RecordingStream

    from rerun_mp.api.state import RecordingState

__all__ = ["enabled_state", "goes_to_rerun", "originals", "replacement", "replacements", "replaces"]

replacements: dict[str, Callable[..., Any]] = {}
"""Our functions, by the names that they replace in `rerun_bindings`."""
originals: dict[str, Callable[..., Any]] = {}
"""Rerun's functions of those names; empty until they are replaced."""


def replacement(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that replaces the native one of the same name. It decides itself which calls go to rerun."""
    replacements[function.__name__] = function
    return function


def replaces(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function that replaces the native one of the same name in calls for our recordings."""
    name = function.__name__
    position = function.__code__.co_varnames.index("recording")

    @functools.wraps(function)
    def divide(*args: Any, **kwargs: Any) -> Any:
        recording = args[position] if len(args) > position else kwargs.get("recording")
        if goes_to_rerun(recording):
            return originals[name](*args, **kwargs)
        return function(*args, **kwargs)

    return replacement(divide)


def goes_to_rerun(recording: object) -> bool:
    """Return whether a native call is rerun's.

    It is if it names rerun's own recording. A call that names none is rerun's if no recording of ours is active, or if
    the calling thread is in a `with` block of rerun's own recording and has none of ours.
    """
    if recording is not None:
        return not hasattr(recording, "state")
    if active_state() is None:
        return True
    return thread_recording() is None and originals["get_thread_local_data_recording"]() is not None


def enabled_state(recording: RecordingStream | None) -> RecordingState:
    """Return the state of the recording that a call goes to.

    Raises
    ------
    RuntimeError
        If the recording is disabled.
    """
    state = active_state(recording)
    if state is None:
        raise RuntimeError("this recording is disabled")
    return state
