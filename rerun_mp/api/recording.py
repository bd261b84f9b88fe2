"""`RecordingStream`: a handle of a recording.

It owns nothing but a name, so it can be copied, hashed, pickled to another process of the session and thrown away.
With the last handle that a process has of a recording the files that it had set are completed, as with the end of a
`with` block; what others log later is added to them. All that it does is done by the functions of the same names in
`rows`, `timeline`, `routing` and `active`. Handles may be used by any thread; `with recording:` concerns the calling
thread alone.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from rerun_mp.api import active, routing
from rerun_mp.api import log as rows
from rerun_mp.api import set_time as clock
from rerun_mp.api.active import RecordingState, state_of
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

    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.sinks import Sink

__all__ = ["RecordingStream"]

MAX_TICK_SECS = 1.0


class _Entered(threading.local):
    """What each `with recording:` of the calling thread replaced, innermost last."""

    def __init__(self) -> None:
        self.replaced: list[tuple[RecordingStream | None, Any]] = []


_entered = _Entered()


if TYPE_CHECKING:
    # What it does not do itself it has of rerun's class, by `__getattr__`.
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
        tick = MAX_TICK_SECS  # that of NEVER, which no timedelta can hold
    return Settings(flush_tick=min(tick, MAX_TICK_SECS))


class RecordingStream(_Theirs):
    """A handle of a recording; every function that takes `recording=` is a method of it too.

    Parameters
    ----------
    application_id
        Name of the application, by which viewers group recordings.
    recording_id
        By default a fresh random one; only `init` and `new_recording` derive it from the session.
    make_default
        Whether it becomes the global recording.
    make_thread_default
        Whether it becomes the calling thread's recording.
    default_enabled
        Whether it takes data at all, unless the environment variable RERUN says "on" or "off".
    send_properties
        Whether its start time is logged, if no other process of the session has begun this recording before.
    batcher_config
        Of a recording whose making founds the session, `flush_tick` is the collector's (`Settings.flush_tick`). Sizes
        are not taken over: rows of all processes become chunks in the collector, whose sweeps are bounded.

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

    __slots__ = ("__weakref__", "state")

    state: RecordingState | None
    """What this process knows of the recording; None if it is disabled."""

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
            active.set_global_data_recording(self)
        if make_thread_default:
            active.set_thread_local_data_recording(self)

    @classmethod
    def _of(cls, key: RecordingKey | None) -> RecordingStream:
        """Return a handle of a recording that the session knows; of a disabled one, without a key."""
        return cls._with(None if key is None else state_of(key))

    @classmethod
    def _with(cls, state: RecordingState | None) -> RecordingStream:
        """Return a handle of a recording of this process."""
        self = cls.__new__(cls)
        self._hold(state)
        return self

    def _hold(self, state: RecordingState | None) -> None:
        self.state = state
        if state is not None:
            state.handles[id(self)] = None

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        state: RecordingState | None = getattr(self, "state", None)
        if state is not None and not is_finalizing():
            state.handles.pop(id(self), None)
            if not state.handles and state.sinks:
                with contextlib.suppress(RerunMpError):
                    routing.abandon(state)

    def __reduce__(self) -> tuple[Callable[..., RecordingStream], tuple[RecordingKey | None]]:
        return RecordingStream._of, (None if self.state is None else self.state.key,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecordingStream) and self.state is other.state

    def __hash__(self) -> int:
        return hash(None if self.state is None else self.state.key)

    def __repr__(self) -> str:
        if self.state is None:
            return "RecordingStream(disabled)"
        return f"RecordingStream({self.state.key.application_id!r}, recording_id={self.state.key.recording_id!r})"

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
                routing.finalize_files(self.state)
        finally:
            self._suspend()
        if innermost is not self:
            raise RuntimeError(
                "RecordingStream context manager exited while not active. Likely mixing context managers with "
                "generators or async code. See: `recording_stream_generator_ctx`."
            )

    def _resume(self) -> None:
        token = active.active_recording_stream.set(self)
        _entered.replaced.append((active.set_thread_local_data_recording(self), token))

    def _suspend(self) -> None:
        before, token = _entered.replaced.pop()
        active.active_recording_stream.reset(token)
        active.set_thread_local_data_recording(before)

    def __getattr__(self, name: str) -> Any:
        # Whatever else rerun's class can do is done by rerun's code, on us.
        if name.startswith("_"):
            raise AttributeError(name)
        from rerun import RecordingStream as Theirs

        method = getattr(Theirs, name, None)
        if method is None:
            from functools import partial

            from rerun_mp.compat import legacy

            if name in legacy.METHODS:
                return partial(legacy.NAMES[name], recording=self)
            raise AttributeError(f"'RecordingStream' object has no attribute {name!r}")
        return method.__get__(self)

    @property
    def inner(self) -> Self:  # type: ignore[override]
        """This recording, where rerun's own code looks for its native one."""
        return self

    def to_native(self) -> Self:  # type: ignore[override]
        """Return this recording, where rerun's own code asks for its native one."""
        return self

    def is_forked_child(self) -> bool:
        """Return True: rerun's handles of it, which ask, have nothing to clean up when they go."""
        return True

    def is_enabled(self) -> bool:
        """Return whether the recording takes data."""
        return self.state is not None

    def get_application_id(self) -> str | None:
        """Return the application id; None if the recording is disabled."""
        return active.get_application_id(self)

    def get_recording_id(self) -> str | None:  # type: ignore[override]
        """Return the recording id; None if the recording is disabled."""
        return active.get_recording_id(self)

    def log(
        self,
        entity_path: str | list[object],
        entity: AsComponents | Iterable[DescribedComponentBatch],
        *extra: AsComponents | Iterable[DescribedComponentBatch],
        static: bool = False,
        strict: bool | None = None,
    ) -> None:
        """Log one row of data on an entity. See `rerun_mp.log`."""
        rows.log(entity_path, entity, *extra, static=static, recording=self, strict=strict)

    def send_columns(
        self,
        entity_path: str,
        indexes: Iterable[TimeColumnLike],
        columns: Iterable[ComponentColumn],
        *,
        strict: bool | None = None,
    ) -> None:
        """Log many rows of data on an entity at once, column by column. See `rerun_mp.send_columns`."""
        rows.send_columns(entity_path, indexes, columns, recording=self, strict=strict)

    def set_time(
        self,
        timeline: str,
        *,
        sequence: int | None = None,
        duration: float | timedelta | np.timedelta64 | None = None,
        timestamp: float | datetime | np.datetime64 | pa.TimestampScalar | None = None,
    ) -> None:
        """Set the time of what this thread logs from now on. See `rerun_mp.set_time`."""
        clock.set_time(timeline, recording=self, sequence=sequence, duration=duration, timestamp=timestamp)

    def disable_timeline(self, timeline: str) -> None:
        """Stop stamping what this thread logs with the time of one timeline. See `rerun_mp.disable_timeline`."""
        clock.disable_timeline(timeline, self)

    def reset_time(self) -> None:
        """Stop stamping what this thread logs with the times that it has set. See `rerun_mp.reset_time`."""
        clock.reset_time(self)

    def set_log_tick_enabled(self, enabled: bool) -> None:
        """Choose whether rows carry `log_tick`. See `rerun_mp.set_log_tick_enabled`."""
        clock.set_log_tick_enabled(enabled, self)

    def set_log_time_enabled(self, enabled: bool) -> None:
        """Choose whether rows carry `log_time`. See `rerun_mp.set_log_time_enabled`."""
        clock.set_log_time_enabled(enabled, self)

    def save(
        self,
        path: str | os.PathLike[str],
        default_blueprint: BlueprintLike | None = None,
        *,
        write_footer: bool = True,
    ) -> None:
        """Write the recording to an .rrd file, in place of the sinks that it has. See `rerun_mp.save`."""
        routing.save(path, default_blueprint, self, write_footer=write_footer)

    def connect_grpc(self, url: str | None = None, *, default_blueprint: BlueprintLike | None = None) -> None:
        """Send the recording to a viewer or server, in place of the sinks that it has. See `rerun_mp.connect_grpc`."""
        routing.connect_grpc(url, default_blueprint=default_blueprint, recording=self)

    def set_sinks(self, *sinks: Sink, default_blueprint: BlueprintLike | None = None) -> None:  # type: ignore[override]
        """Send the recording to several sinks, in place of those that it has. See `rerun_mp.set_sinks`."""
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
        """Take away the sinks that this process set; its files are complete then. See `rerun_mp.disconnect`."""
        routing.disconnect(self)

    def flush(self, *, timeout_sec: float = 1e38) -> None:
        """Wait until everything that this process has logged is in the store. See `rerun_mp.flush`."""
        routing.flush(timeout_sec)
