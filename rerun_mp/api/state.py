"""`RecordingState`: what this process knows of one recording; and the table of all of them.

A forked child inherits the states and makes new locks. Threads: a state's times and lanes are per thread.
"""

from __future__ import annotations

import os
import threading
import weakref
from itertools import count
from typing import TYPE_CHECKING

from rerun_mp.api.lanes import Lanes
from rerun_mp.api.times import Timepoint
from rerun_mp.compat import versions
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.session import current
from rerun_mp.settings import parse_switch
from rerun_mp.shm.layout import Header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rerun_mp.encoding.encoder import Encoder
    from rerun_mp.session.config import SinkSpec

__all__ = ["RecordingState", "state_of"]


class RecordingState:
    """What this process knows of one recording. All its handles share it."""

    def __init__(self, key: RecordingKey) -> None:
        self.key = key
        self.has_log_time = _switch("RERUN_LOG_TIME", default=True)
        self.has_log_tick = _switch("RERUN_LOG_TICK", default=versions.adds_log_tick())
        self.ticks = count()
        """Counts the `log` calls. `next` is atomic under the interpreter's lock."""
        self.encoder: Encoder | None = None
        """Made at the first row, because it loads pyarrow."""
        self.rows_of_layouts: dict[tuple[object, bool], int] = {}
        """(layout, is static) -> rows so far, up to the number from which on they lie in tables."""
        self.rows_in_blocks = 0
        """Rows so far that were logged as blocks because pyarrow was not loaded."""
        self.lanes = Lanes()
        """The lanes of calls that name the recording."""
        self._times = threading.local()
        self._sinks: tuple[int, tuple[SinkSpec, ...]] = (0, ())
        self.sinks_lock = threading.RLock()
        """Held while `sinks` is replaced, so that a thread can replace only the sinks that it has seen."""
        self._pause = (b"", 0), False
        """(session, number of the pause), and whether the recording is paused since then."""
        self.handles: dict[int, None] = {}
        """Addresses of this process's `RecordingStream` objects for the recording."""

    @property
    def times(self) -> Timepoint:
        """The calling thread's times."""
        timepoint: Timepoint | None = getattr(self._times, "point", None)
        if timepoint is None:
            timepoint = self._times.point = Timepoint()
        return timepoint

    @property
    def is_paused(self) -> bool:
        """Whether calls that log to the recording do nothing, in all processes of the session."""
        joined = current.session()
        if joined is None:
            return False
        number = joined.segment.ring.words[Header.PAUSED]
        if not number:
            return False
        pause = joined.segment.nonce, number
        if self._pause[0] != pause:
            spec = joined.config().recording(self.key)
            self._pause = pause, spec is not None and spec.is_paused
        return self._pause[1]

    @property
    def sinks(self) -> tuple[SinkSpec, ...]:
        """The sinks that this process has set. A forked child starts with none."""
        pid, sinks = self._sinks
        return sinks if pid == os.getpid() else ()

    @sinks.setter
    def sinks(self, sinks: Sequence[SinkSpec]) -> None:
        self._sinks = (os.getpid(), tuple(sinks))


_states: weakref.WeakValueDictionary[RecordingKey, RecordingState] = weakref.WeakValueDictionary()
_states_lock = threading.RLock()
"""Guards the creation of states, so that each recording has one."""


def state_of(key: RecordingKey) -> RecordingState:
    """Return this process's state of recording `key`."""
    with _states_lock:
        state = _states.get(key)
        if state is None:
            state = _states[key] = RecordingState(key)
        return state


def _switch(variable: str, *, default: bool) -> bool:
    value = parse_switch(os.environ.get(variable, ""))
    return default if value is None else value


def _replace_locks() -> None:
    global _states_lock
    _states_lock = threading.RLock()
    for state in list(_states.values()):
        state.sinks_lock = threading.RLock()


os.register_at_fork(after_in_child=_replace_locks)
