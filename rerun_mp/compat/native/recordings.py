"""Replacements for rerun's native functions about recordings and times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rerun_mp.api import selection
from rerun_mp.api import set_time as times
from rerun_mp.api.recording import RecordingStream
from rerun_mp.compat.native.registry import originals, replacement, replaces

if TYPE_CHECKING:
    import rerun

__all__ = ["new_recording"]


def new_recording(
    application_id: str,
    recording_id: str | None = None,
    make_default: bool = True,
    make_thread_default: bool = True,
    default_enabled: bool = True,
    send_properties: bool = True,
    batcher_config: Any = None,
) -> RecordingStream:
    """Make a recording of ours. Replaces rerun's function only after `bridge.capture`."""
    return RecordingStream(
        application_id,
        recording_id=recording_id,
        make_default=make_default,
        make_thread_default=make_thread_default,
        default_enabled=default_enabled,
        send_properties=send_properties,
        batcher_config=batcher_config,
    )


@replaces
def get_application_id(recording: rerun.RecordingStream | None = None) -> str | None:
    return selection.get_application_id(recording)


@replaces
def get_recording_id(recording: rerun.RecordingStream | None = None) -> str | None:
    return selection.get_recording_id(recording)


@replaces
def is_enabled(recording: rerun.RecordingStream | None = None) -> bool:
    return selection.is_enabled(recording)


@replaces
def get_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.get_data_recording(recording)


@replaces
def set_global_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.set_global_data_recording(recording)


@replaces
def set_thread_local_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    return selection.set_thread_local_data_recording(recording)


@replacement
def get_global_data_recording() -> Any:
    return selection.get_global_data_recording() or originals["get_global_data_recording"]()


@replacement
def get_thread_local_data_recording() -> Any:
    return selection.get_thread_local_data_recording() or originals["get_thread_local_data_recording"]()


@replaces
def set_time_sequence(timeline: str, sequence: int, recording: rerun.RecordingStream | None = None) -> None:
    times.set_time(timeline, sequence=sequence, recording=recording)


@replaces
def set_time_duration_nanos(timeline: str, nanos: int, recording: rerun.RecordingStream | None = None) -> None:
    times.set_nanos(timeline, nanos, is_timestamp=False, recording=recording)


@replaces
def set_time_timestamp_nanos_since_epoch(
    timeline: str, nanos: int, recording: rerun.RecordingStream | None = None
) -> None:
    times.set_nanos(timeline, nanos, is_timestamp=True, recording=recording)


@replaces
def disable_timeline(timeline: str, recording: rerun.RecordingStream | None = None) -> None:
    times.disable_timeline(timeline, recording)


@replaces
def reset_time(recording: rerun.RecordingStream | None = None) -> None:
    times.reset_time(recording)


@replaces
def set_log_tick_enabled(enabled: bool, recording: rerun.RecordingStream | None = None) -> None:
    times.set_log_tick_enabled(enabled, recording)


@replaces
def set_log_time_enabled(enabled: bool, recording: rerun.RecordingStream | None = None) -> None:
    times.set_log_time_enabled(enabled, recording)
