"""The active recording: public functions that read or set it. `active` does the work, below `recording`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rerun_mp.api import active
from rerun_mp.api.active import active_state, leaves_foreign_to_rerun

if TYPE_CHECKING:
    import rerun

    from rerun_mp.api.recording import RecordingStream

__all__ = [
    "get_application_id",
    "get_data_recording",
    "get_global_data_recording",
    "get_recording_id",
    "get_thread_local_data_recording",
    "is_enabled",
    "set_global_data_recording",
    "set_thread_local_data_recording",
]


def get_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    """Return the recording that a call goes to: `recording`, else the thread's, else the global one.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.get_data_recording() is None
    True
    """
    return cast("RecordingStream | None", active.recording_of_call(recording))


@leaves_foreign_to_rerun
def is_enabled(recording: rerun.RecordingStream | None = None) -> bool:
    """Return whether a recording takes data. RERUN ("on" or "off") overrides `init(default_enabled=...)`."""
    return active_state(recording) is not None


@leaves_foreign_to_rerun
def get_application_id(recording: rerun.RecordingStream | None = None) -> str | None:
    """Return the application id of a recording. None: there is no recording, or it is disabled."""
    state = active_state(recording)
    return None if state is None else state.key.application_id


@leaves_foreign_to_rerun
def get_recording_id(recording: rerun.RecordingStream | None = None) -> str | None:
    """Return the recording id of a recording. None: there is no recording, or it is disabled.

    By default `init` derives it from the session, so it is equal in all processes of the session.
    """
    state = active_state(recording)
    return None if state is None else state.key.recording_id


def get_global_data_recording() -> RecordingStream | None:
    """Return the recording of all threads that have none of their own, or None."""
    return cast("RecordingStream | None", active.global_recording())


def set_global_data_recording(recording: RecordingStream | None) -> RecordingStream | None:
    """Set the global recording and return the previous one.

    Raises
    ------
    TypeError
        If `recording` is neither a `RecordingStream` nor None.
    """
    return cast("RecordingStream | None", active.replace_global_recording(recording))


def get_thread_local_data_recording() -> RecordingStream | None:
    """Return the recording of the calling thread, or None."""
    return cast("RecordingStream | None", active.thread_recording())


def set_thread_local_data_recording(recording: RecordingStream | None) -> RecordingStream | None:
    """Set the calling thread's recording and return the previous one.

    Raises
    ------
    TypeError
        If `recording` is neither a `RecordingStream` nor None.
    """
    return cast("RecordingStream | None", active.replace_thread_recording(recording))
