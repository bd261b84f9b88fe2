"""Sinks that the program reads back itself: `memory_recording`, `binary_stream`, and the callback of notebooks.

Rows go the way of all rows, through the ring and the collector, into a file of the session's spool. Reading begins
another file, which completes the one before, and returns what that one holds. So what is read has been stored, comes
from all processes that the recording takes, and is a whole .rrd stream; one after the other they are one, too.

An object belongs to the process that made it. Any thread may read.
"""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

from rerun_mp.api import routing
from rerun_mp.api.sink_setting import configure_sinks, session_of
from rerun_mp.api.sinks import FileSink

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rerun_mp.api.state import RecordingState
    from rerun_mp.session.config import SinkSpec

__all__ = ["BinaryStorage", "CallbackSink", "MemoryStorage"]

LOOK_EVERY = 0.05
"""Seconds between two looks whether there is something for a callback."""


class Readback:
    """A recording's sink whose contents can be taken."""

    def __init__(self, state: RecordingState) -> None:
        self._state = state
        # Loaded here: it would take a fifth of what `import rerun_mp` takes.
        from tempfile import mkdtemp

        # In the spool, so that it goes with the session, whoever ends first.
        spool = session_of(state).segment.spool_directory
        os.makedirs(spool, mode=0o700, exist_ok=True)
        self._directory = mkdtemp(prefix="readback-", dir=spool)
        self._mutex = threading.Lock()
        self._number = self._size = 0
        self._spec = self._begin()

    def _begin(self) -> SinkSpec:
        self._number += 1
        path = os.path.join(self._directory, f"{self._number}.rrd")
        spec = FileSink(path, write_footer=False).spec(None)
        configure_sinks(self._state, (spec,))
        return spec

    def has_grown(self) -> bool:
        """Say whether the collector has written something since it was last said that it has not."""
        try:
            size = os.path.getsize(self._spec.target)
        except OSError:
            return False
        has_grown, self._size = size != self._size, size
        return has_grown

    def is_set(self) -> bool:
        """Say whether the recording still goes here."""
        return any(sink.target == self._spec.target for sink in self._state.sinks)

    def take(self) -> bytes:
        """Return what has been logged since the last call; nothing, if that is no row and no blueprint.

        Once the recording has got another sink, what comes goes there.

        Raises
        ------
        FlushTimeoutError
            If the collector does not complete it in time.
        """
        with self._mutex:
            taken = self._spec.target
            if self.is_set():
                self._spec = self._begin()
            try:
                with open(taken, "rb") as file:
                    content = file.read()
                os.unlink(taken)
            except FileNotFoundError:
                return b""
            return content if _count(content) else b""


class MemoryStorage:
    """What rerun's `MemoryRecording` asks, of one of our recordings."""

    def __init__(self, state: RecordingState) -> None:
        self._readback = Readback(state)
        self._content = b""

    def num_msgs(self) -> int:
        """Return how many messages have been taken and not been drained, as rerun counts them."""
        self._content += self._readback.take()
        return _count(self._content)

    def concat_as_bytes(self, concat: Any = None) -> bytes:
        """Return everything that has not been drained, and behind it what `concat` has."""
        self._content += self._readback.take()
        return self._content + (concat.concat_as_bytes() if concat is not None else b"")

    def drain_as_bytes(self) -> bytes:
        """Return everything that has not been drained, and forget it."""
        content, self._content = self.concat_as_bytes(), b""
        return content


class BinaryStorage:
    """What rerun's `BinaryStream` asks, of one of our recordings."""

    def __init__(self, state: RecordingState) -> None:
        self._readback = Readback(state)

    def read(self, *, flush: bool = True, flush_timeout_sec: float = 1e38) -> bytes | None:
        """Return what has been logged since the last call; None if that is nothing.

        Raises
        ------
        FlushTimeoutError
            If that takes longer than `flush_timeout_sec`, or the session's exit timeout.
        """
        if flush:
            self.flush(timeout_sec=flush_timeout_sec)
        return self._readback.take() or None

    def flush(self, timeout_sec: float = 1e38) -> None:
        """Wait until everything that this process has logged is stored. Raises as `rerun_mp.flush`."""
        routing.flush(timeout_sec)


class CallbackSink:
    """Calls the user back with what there is, from a thread of its own: what notebooks show.

    Until the recording gets another sink, or the program ends; what is stored by then is given to the callback.
    """

    def __init__(self, state: RecordingState, callback: Callable[[bytes], Any]) -> None:
        self._readback = Readback(state)
        self._callback = callback
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rerun_mp-callback", daemon=True)
        self._pid = os.getpid()
        self._thread.start()
        atexit.register(self._end)

    def _run(self) -> None:
        while self._readback.is_set() and not self._ends.wait(LOOK_EVERY):
            if self._readback.has_grown():
                self._give()
        if not self._ends.is_set():
            self._give()

    def _give(self) -> None:
        content = self._readback.take()
        if content:
            self._callback(content)

    def _end(self) -> None:
        if os.getpid() == self._pid and self._readback.is_set():
            self._ends.set()
            self._thread.join()
            routing.flush()
            self._give()


def _count(content: bytes) -> int:
    from rerun_mp.encoding.rrd_files import messages_in

    return messages_in(content)
