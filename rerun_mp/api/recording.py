"""`RecordingStream`: a handle of a recording.

It can be copied, hashed, and pickled to another process of the session. When a process drops its last handle of a
recording, the collector completes the files that the process has set, as at the end of a `with` block; rows that others
log later are added to them. The methods call the functions of the same names in `log`, `set_time`, `routing` and
`selection`. Any thread may use a handle; `with recording:` affects the calling thread alone.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from rerun_mp.api import active, routing, sink_setting
from rerun_mp.api import set_time as times
from rerun_mp.api.handle import RecordingHandle, register_handle_class
from rerun_mp.api.log import log
from rerun_mp.api.send_columns import send_columns
from rerun_mp.api.start import begin
from rerun_mp.errors import RerunMpError, WrongKindError
from rerun_mp.settings import Settings

if TYPE_CHECKING:
    import os
    import uuid
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta
    from types import TracebackType
    from typing import Any, Self

    import numpy as np
    import pyarrow as pa
    from rerun import AsComponents, ChunkBatcherConfig, ComponentColumn, DescribedComponentBatch
    from rerun._send_columns import TimeColumnLike
    from rerun.blueprint import BlueprintLike

    from rerun_mp.api.sinks import Sink
    from rerun_mp.api.state import RecordingState
    from rerun_mp.session.config import FileMode
    from rerun_mp.session.rotation import Rotation
    from rerun_mp.session.rules import Rule

__all__ = ["RecordingStream", "find_old_methods_with"]

MAX_TICK_SECS = 1.0
"""Maximum flush tick in seconds that is taken from a batcher configuration."""


class _Entered(threading.local):
    """What each `with recording:` of the calling thread replaced, innermost last."""

    def __init__(self) -> None:
        self.replaced: list[tuple[RecordingHandle | None, Any]] = []


_entered = _Entered()


_find_old_method: Callable[[str], Callable[..., Any] | None] | None = None


def find_old_methods_with(find: Callable[[str], Callable[..., Any] | None]) -> None:
    """Have `find` serve methods that rerun has dropped: it returns a function with a parameter `recording`, or None."""
    global _find_old_method
    _find_old_method = find


if TYPE_CHECKING:
    # `__getattr__` takes all other methods from rerun's class.
    from rerun import RecordingStream as _Theirs
else:
    _Theirs = object


def _settings_of(batcher_config: Any) -> Settings:
    from rerun import ChunkBatcherConfig as Theirs

    if not isinstance(batcher_config, Theirs):
        kind = type(batcher_config).__name__
        raise WrongKindError(f"argument 'batcher_config': '{kind}' object is not an instance of 'ChunkBatcherConfig'")
    try:
        tick = batcher_config.flush_tick.total_seconds()
    except ValueError:
        tick = MAX_TICK_SECS  # ChunkBatcherConfig.NEVER: no timedelta can hold its tick
    return Settings(flush_tick=min(tick, MAX_TICK_SECS))


class RecordingStream(RecordingHandle, _Theirs):
    """A handle of a recording; every function that takes `recording=` is a method of it too.

    Parameters
    ----------
    application_id
        Name of the application, by which viewers group recordings.
    recording_id
        By default a new random one. `init` and `new_recording` derive it from the session instead.
    make_default
        Whether it becomes the global recording.
    make_thread_default
        Whether it becomes the calling thread's recording.
    default_enabled
        Whether it takes data, unless the environment variable RERUN says "on" or "off".
    send_properties
        Whether to log its start time, unless another process of the session has begun this recording before.
    batcher_config
        If this call founds the session, its `flush_tick` becomes `Settings.flush_tick`. Its sizes are ignored: the
        collector builds the chunks from the rows of all processes, and bounds its sweeps itself.

    Raises
    ------
    ValueError
        If the application id is empty.
    SharedMemoryError, PrivacyError, SessionError
        If the session cannot be founded or joined.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> with rr.RecordingStream("my_app") as recording:  # doctest: +SKIP
    ...     recording.save("run.rrd")
    ...     rr.log("message", rr.TextLog("hello"))
    """

    __slots__ = ()

    def __init__(
        self,
        application_id: str,
        *,
        recording_id: str | uuid.UUID | None = None,
        make_default: bool = False,
        make_thread_default: bool = False,
        default_enabled: bool = True,
        send_properties: bool = True,
        batcher_config: ChunkBatcherConfig | None = None,
    ) -> None:
        if recording_id is None:
            import uuid

            recording_id = uuid.uuid4().hex
        self._hold(
            begin(
                application_id,
                recording_id,
                is_enabled=default_enabled,
                make_default=make_default,
                send_properties=send_properties,
                settings=None if batcher_config is None else _settings_of(batcher_config),
            )
        )
        if make_default:
            active.replace_global_recording(self)
        if make_thread_default:
            active.replace_thread_recording(self)

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        state: RecordingState | None = getattr(self, "state", None)
        # A subinterpreter clears the modules at its end, and the main interpreter goes on.
        if state is not None and not is_finalizing() and sink_setting is not None:
            state.handles.pop(id(self), None)
            if not state.handles and state.sinks:
                with contextlib.suppress(RerunMpError):
                    sink_setting.complete_files_of_last_handle(state)

    def __enter__(self) -> Self:
        self._resume()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        innermost = active.active_recording_stream.get()
        try:
            if self.state is not None:
                sink_setting.complete_files(self.state)
        finally:
            self._suspend()
        if innermost is not self:
            raise RuntimeError(
                "RecordingStream context manager exited while not active. Likely mixing context managers with "
                "generators or async code. See: `recording_stream_generator_ctx`."
            )

    def _resume(self) -> None:
        token = active.active_recording_stream.set(self)
        _entered.replaced.append((active.replace_thread_recording(self), token))

    def _suspend(self) -> None:
        before, token = _entered.replaced.pop()
        active.active_recording_stream.reset(token)
        active.replace_thread_recording(before)

    def __getattr__(self, name: str) -> Any:
        # All other methods run rerun's code on this object.
        if name.startswith("_"):
            raise AttributeError(name)
        from rerun import RecordingStream as Theirs

        method = getattr(Theirs, name, None)
        if method is None:
            old = None if _find_old_method is None else _find_old_method(name)
            if old is None:
                raise AttributeError(f"'RecordingStream' object has no attribute {name!r}")
            from functools import partial

            return partial(old, recording=self)
        return method.__get__(self)

    @property
    def inner(self) -> Self:  # type: ignore[override]
        """This object: rerun's own code finds its native recording under this name."""
        return self

    def to_native(self) -> Self:  # type: ignore[override]
        """Return this object: rerun's own code asks for its native recording by this method."""
        return self

    def is_forked_child(self) -> bool:
        """Return True, so that rerun's own handles of this recording clean up nothing when they are deleted."""
        return True

    def is_enabled(self) -> bool:
        """Return whether the recording takes data."""
        return self.state is not None

    def get_application_id(self) -> str | None:
        """Return the application id; None if the recording is disabled."""
        return None if self.state is None else self.state.key.application_id

    def get_recording_id(self) -> str | None:  # type: ignore[override]
        """Return the recording id; None if the recording is disabled."""
        return None if self.state is None else self.state.key.recording_id

    def log(
        self,
        entity_path: str | list[object],
        entity: AsComponents | Iterable[DescribedComponentBatch],
        *extra: AsComponents | Iterable[DescribedComponentBatch],
        static: bool = False,
        strict: bool | None = None,
    ) -> None:
        """Log one row of data on an entity. See `rerun_mp.log`."""
        log(entity_path, entity, *extra, static=static, recording=self, strict=strict)

    def send_columns(
        self,
        entity_path: str,
        indexes: Iterable[TimeColumnLike],
        columns: Iterable[ComponentColumn],
        *,
        strict: bool | None = None,
    ) -> None:
        """Log many rows of data on an entity at once, column by column. See `rerun_mp.send_columns`."""
        send_columns(entity_path, indexes, columns, recording=self, strict=strict)

    def set_time(
        self,
        timeline: str,
        *,
        sequence: int | None = None,
        duration: float | timedelta | np.timedelta64 | None = None,
        timestamp: float | datetime | np.datetime64 | pa.TimestampScalar | None = None,
    ) -> None:
        """Set the time of this thread's next rows. See `rerun_mp.set_time`."""
        times.set_time(timeline, recording=self, sequence=sequence, duration=duration, timestamp=timestamp)

    def disable_timeline(self, timeline: str) -> None:
        """Stop adding the time of one timeline to this thread's rows. See `rerun_mp.disable_timeline`."""
        times.disable_timeline(timeline, self)

    def reset_time(self) -> None:
        """Stop adding this thread's times to its rows. See `rerun_mp.reset_time`."""
        times.reset_time(self)

    def set_log_tick_enabled(self, enabled: bool) -> None:
        """Choose whether rows carry `log_tick`. See `rerun_mp.set_log_tick_enabled`."""
        times.set_log_tick_enabled(enabled, self)

    def set_log_time_enabled(self, enabled: bool) -> None:
        """Choose whether rows carry `log_time`. See `rerun_mp.set_log_time_enabled`."""
        times.set_log_time_enabled(enabled, self)

    def save(
        self,
        path: str | os.PathLike[str],
        default_blueprint: BlueprintLike | None = None,
        *,
        write_footer: bool = True,
        rotate: Rotation | None = None,
        mode: FileMode = "new",
        rules: Iterable[Rule] | None = None,
    ) -> None:
        """Write the recording to an .rrd file, in place of its current sinks. See `rerun_mp.save`."""
        routing.save(path, default_blueprint, self, write_footer=write_footer, rotate=rotate, mode=mode, rules=rules)

    def connect_grpc(self, url: str | None = None, *, default_blueprint: BlueprintLike | None = None) -> None:
        """Send the recording to a viewer or server, in place of its current sinks. See `rerun_mp.connect_grpc`."""
        routing.connect_grpc(url, default_blueprint=default_blueprint, recording=self)

    def set_sinks(self, *sinks: Sink, default_blueprint: BlueprintLike | None = None) -> None:  # type: ignore[override]
        """Send the recording to several sinks, in place of its current ones. See `rerun_mp.set_sinks`."""
        routing.set_sinks(*sinks, default_blueprint=default_blueprint, recording=self)

    def spawn(
        self,
        *,
        port: int = 9876,
        connect: bool = True,
        memory_limit: str = "75%",
        server_memory_limit: str = "1GiB",
        hide_welcome_screen: bool = False,
        detach_process: bool = True,
        executable_name: str = "rerun",
        executable_path: str | None = None,
        default_blueprint: BlueprintLike | None = None,
        headless: bool = False,
    ) -> None:
        """Start a viewer and send the recording to it. See `rerun_mp.spawn`."""
        routing.spawn(
            port=port,
            connect=connect,
            memory_limit=memory_limit,
            server_memory_limit=server_memory_limit,
            hide_welcome_screen=hide_welcome_screen,
            detach_process=detach_process,
            executable_name=executable_name,
            executable_path=executable_path,
            default_blueprint=default_blueprint,
            recording=self,
            headless=headless,
        )

    def disconnect(self) -> None:
        """Remove the sinks that this process has set, and complete its files. See `rerun_mp.disconnect`."""
        routing.disconnect(self)

    def flush(self, *, timeout_sec: float = 1e38) -> None:
        """Wait until all rows that this process has logged are in the store. See `rerun_mp.flush`."""
        routing.flush(timeout_sec)


register_handle_class(RecordingStream)
