"""Which recording a call goes to, and what this process knows of each recording.

A call goes to the recording it is given, else to the thread's own, else to the process's global one, else, in a process
that has joined a session and chosen nothing itself, to the session's default, so that a worker needs no `init`.

Fork: a child inherits the global recording, and its forking thread its own recording and times. Threads: the global
recording is one reference, replaced whole; everything else here belongs to a thread or is only added to.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from contextvars import ContextVar
from functools import wraps
from itertools import count
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import WrongKindError
from rerun_mp.session import session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rerun_mp.api.recording import RecordingStream
    from rerun_mp.api.set_time import Timepoint
    from rerun_mp.encoding.components import Encoder
    from rerun_mp.producer.hot_appends import Append
    from rerun_mp.session.config import SinkSpec

__all__ = [
    "Lane",
    "Lanes",
    "RecordingState",
    "active_recording_stream",
    "active_state",
    "get_application_id",
    "get_data_recording",
    "get_global_data_recording",
    "get_recording_id",
    "get_thread_local_data_recording",
    "is_enabled",
    "is_foreign",
    "leaves_foreign_to_rerun",
    "set_global_data_recording",
    "set_thread_local_data_recording",
    "state_of",
]

P = ParamSpec("P")
R = TypeVar("R")

LOOK_AGAIN = 0.05
"""Seconds between two looks at the session's default recording, while it has none."""


class Lane:
    """What a thread's next call of `log` or `set_time` needs, if nothing has changed since the last: see `rows.log`.

    Forked child processes leave those of their parent.
    """

    __slots__ = ("sequences", "tables", "times", "version")

    def __init__(self) -> None:
        self.version = -1
        """The lane holds as long as this is `active.version`."""
        self.tables: dict[object, Append] = {}
        """What appends to the open tables: to the last one for such archetypes by their type, to each by its layout.

        `float` stands for bare numbers.
        """
        self.times: dict[str, int] = {}
        self.sequences: set[str] = set()
        """Which of them are sequences."""


class Lanes(threading.local):
    """`lane` is the calling thread's."""

    def __init__(self) -> None:
        self.lane = Lane()


class RecordingState:
    """What this process knows of one recording; shared by all its `RecordingStream` objects."""

    def __init__(self, key: RecordingKey) -> None:
        self.key = key
        self.has_log_time = _switch("RERUN_LOG_TIME", default=True)
        self.has_log_tick = _switch("RERUN_LOG_TICK", default=False)
        self.ticks = count()
        """Calls of `log` so far. Drawing the next one is a single step, whatever other threads do."""
        self.encoder: Encoder | None = None
        """Made at the first row, because pyarrow is loaded for it."""
        self.lanes = Lanes()
        """Of calls that name the recording."""
        self._times = threading.local()
        self._sinks: tuple[int, tuple[SinkSpec, ...]] = (0, ())
        self.handles: dict[int, None] = {}
        """Addresses of the `RecordingStream` objects of this process that have the recording."""

    @property
    def times(self) -> Timepoint:
        """The calling thread's times."""
        try:
            timepoint: Timepoint = self._times.point
        except AttributeError:
            from rerun_mp.api.set_time import Timepoint

            timepoint = self._times.point = Timepoint()
        return timepoint

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """The sinks that this very process set; its parent's are not its own."""
        pid, sinks = self._sinks
        return sinks if pid == os.getpid() else ()

    @sinks.setter
    def sinks(self, sinks: Sequence[SinkSpec]) -> None:
        self._sinks = (os.getpid(), tuple(sinks))


_states: weakref.WeakValueDictionary[RecordingKey, RecordingState] = weakref.WeakValueDictionary()
_states_lock = threading.RLock()
"""Guards the creation of states, so that there is one a recording. Made new in a forked child."""


def state_of(key: RecordingKey) -> RecordingState:
    """Return this process's state of recording `key`."""
    with _states_lock:
        state = _states.get(key)
        if state is None:
            state = _states[key] = RecordingState(key)
        return state


def _switch(variable: str, *, default: bool) -> bool:
    text = os.environ.get(variable, "").lower()
    if text in ("1", "true", "on", "yes"):
        return True
    return default and text not in ("0", "false", "off", "no")


def _new_lock_in_child() -> None:
    global _states_lock
    _states_lock = threading.RLock()
    leave_lanes()


os.register_at_fork(after_in_child=_new_lock_in_child)


# ---- lanes ---------------------------------------------------------------------------------------------------------

version = 0
"""Grows when what a call means may have changed, for whatever thread."""


lanes = Lanes()
"""Of calls without `recording=`; those of calls that name one are its state's."""


def leave_lanes() -> None:
    """Make every thread look again at what its calls mean."""
    global version
    version += 1


# ---- the active recording ------------------------------------------------------------------------------------------

active_recording_stream: ContextVar[RecordingStream | None] = ContextVar("active_recording_stream", default=None)
"""The innermost `with recording:`, for noticing generators that leak theirs."""

_global: RecordingStream | None = None
_is_chosen = False
"""Whether this process, or one it was forked from, set its global recording itself, be it to None."""
_next_look = 0.0


class _ThreadRecording(threading.local):
    stream: RecordingStream | None = None


_thread = _ThreadRecording()


def get_data_recording(recording: RecordingStream | None = None) -> RecordingStream | None:
    """Return the recording that a call goes to: `recording`, else the thread's, else the global one.

    Examples
    --------
    >>> import rerun_mp as rr
    >>> rr.get_data_recording() is None
    True
    """
    if recording is not None:
        return recording
    return _thread.stream or (_global if _is_chosen else _default_of_session())


def active_state(recording: RecordingStream | None = None) -> RecordingState | None:
    """Return the state of the recording that a call goes to. None: there is none, or it is disabled.

    Raises
    ------
    TypeError
        If `recording` is no `RecordingStream`.
    """
    stream = get_data_recording(recording)
    try:
        return None if stream is None else stream.state
    except AttributeError:
        pass
    try:
        # What rerun's own functions return of ours is rerun's handle of it.
        inner: RecordingStream = stream.inner  # type: ignore[union-attr]
        return inner.state
    except AttributeError:
        raise _not_a_recording(stream) from None


def is_foreign(recording: object) -> bool:
    """Whether `recording` is rerun's own, made by `rerun.RecordingStream`: such calls are left to rerun."""
    theirs = getattr(sys.modules.get("rerun.recording_stream"), "RecordingStream", None)
    return theirs is not None and isinstance(recording, theirs) and not hasattr(recording.inner, "state")


def leaves_foreign_to_rerun(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function that has its namesake in rerun, for recordings that are rerun's own."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if "rerun" in sys.modules and any(map(is_foreign, (*args, *kwargs.values()))):
            namesake: Callable[P, R] = getattr(sys.modules["rerun"], function.__name__)
            return namesake(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapper


@leaves_foreign_to_rerun
def is_enabled(recording: RecordingStream | None = None) -> bool:
    """Return whether a recording takes data. The variable RERUN ("on" or "off") decides before `init` does."""
    return active_state(recording) is not None


@leaves_foreign_to_rerun
def get_application_id(recording: RecordingStream | None = None) -> str | None:
    """Return the application id of a recording; None without one."""
    state = active_state(recording)
    return None if state is None else state.key.application_id


@leaves_foreign_to_rerun
def get_recording_id(recording: RecordingStream | None = None) -> str | None:
    """Return the recording id of a recording; None without one.

    What `init` makes of it by default is equal in all processes of the session.
    """
    state = active_state(recording)
    return None if state is None else state.key.recording_id


def get_global_data_recording() -> RecordingStream | None:
    """Return the recording of all threads that have none of their own, or None."""
    return _global if _is_chosen else _default_of_session()


def set_global_data_recording(recording: RecordingStream | None) -> RecordingStream | None:
    """Replace the global recording and return the one before.

    Raises
    ------
    TypeError
        If `recording` is neither a `RecordingStream` nor None.
    """
    global _global, _is_chosen
    _check_recording(recording)
    before = get_global_data_recording()
    _global, _is_chosen = recording, True
    leave_lanes()
    return before


def get_thread_local_data_recording() -> RecordingStream | None:
    """Return the recording of the calling thread, or None."""
    return _thread.stream


def set_thread_local_data_recording(recording: RecordingStream | None) -> RecordingStream | None:
    """Replace the recording of the calling thread and return the one before.

    Raises
    ------
    TypeError
        If `recording` is neither a `RecordingStream` nor None.
    """
    _check_recording(recording)
    before, _thread.stream = _thread.stream, recording
    leave_lanes()
    return before


def _check_recording(recording: object) -> None:
    from rerun_mp.api.recording import RecordingStream

    if not isinstance(recording, RecordingStream | None):
        raise _not_a_recording(recording)


def _not_a_recording(given: object) -> WrongKindError:
    kind = type(given)
    return WrongKindError(
        f"argument 'recording': '{kind.__module__}.{kind.__qualname__}' object is no rerun_mp.RecordingStream; "
        "give one, or None for the active one"
    )


def _default_of_session() -> RecordingStream | None:
    global _global, _next_look
    if _global is not None:
        return _global
    now = time.monotonic()
    if now < _next_look:
        return None
    _next_look = now + LOOK_AGAIN
    joined = session.current()
    key = joined.config().default if joined is not None else None
    if key is None:
        return None
    from rerun_mp.api.recording import RecordingStream

    _global = RecordingStream._of(key)
    leave_lanes()
    return _global
