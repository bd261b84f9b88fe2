"""Sinks that the program reads itself: `memory_recording`, `binary_stream`, and the callback of notebooks.

Rows take the usual way through the ring and the collector, into a file of the session's spool. A read starts another
file, so the collector completes the previous one, and returns the content of that one. The content thus comes from all
processes in the sink's scope and is a whole .rrd stream. The contents of several reads in a row form one stream, too.

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

CALLBACK_POLL_SECS = 0.05
"""Seconds between two checks for new content for a callback."""


class Readback:
    """A sink of a recording, as a row of files whose contents the program takes."""

    def __init__(self, state: RecordingState) -> None:
        self._state = state
        # Imported here because it would lengthen `import rerun_mp` by a fifth.
        from tempfile import mkdtemp

        from rerun_mp.session.directories import ensure_private

        # The spool's directory is removed with the session, even if this process is killed.
        spool = session_of(state).segment.spool_directory
        ensure_private(spool)
        self._directory = mkdtemp(prefix="readback-", dir=spool)
        self._mutex = threading.Lock()
        self._number = self._size = 0
        self._last_blueprint = b""
        """Identity of the last blueprint that was returned."""
        self._spec = self._next_spec()
        configure_sinks(self._state, (self._spec,))

    def _next_spec(self) -> SinkSpec:
        self._number += 1
        path = os.path.join(self._directory, f"{self._number}.rrd")
        return FileSink(path, write_footer=False).spec(None)

    def has_grown(self) -> bool:
        """Return whether the collector has written to the file since the last call."""
        try:
            size = os.path.getsize(self._spec.target)
        except OSError:
            return False
        has_grown, self._size = size != self._size, size
        return has_grown

    def is_set(self) -> bool:
        """Return whether this is still the recording's sink. Waits while another thread takes the content."""
        with self._mutex:
            return self._is_set()

    def _is_set(self) -> bool:
        return any(sink.target == self._spec.target for sink in self._state.sinks)

    def take(self) -> bytes:
        """Return the stream of all rows and new blueprints since the last call; empty bytes if there are none.

        Once the recording has another sink, new rows go there.

        Raises
        ------
        FlushTimeoutError
            If the collector does not complete the file in time.
        """
        from rerun_mp.encoding.log_messages import without_repeated_blueprints

        with self._mutex:
            taken, successor = self._spec.target, self._next_spec()
            # Another thread may give the recording another sink at this moment; that one then stays.
            if configure_sinks(self._state, (successor,), in_place_of=self._spec):
                self._spec = successor
            try:
                with open(taken, "rb") as file:
                    content = file.read()
                os.unlink(taken)
            except FileNotFoundError:
                return b""
            # Each file begins with the last blueprint.
            content, self._last_blueprint = without_repeated_blueprints(content, self._last_blueprint)
            return content if _count(content) else b""


class MemoryStorage:
    """The storage behind a `rerun.MemoryRecording` of one of our recordings."""

    def __init__(self, state: RecordingState) -> None:
        self._readback = Readback(state)
        self._content = b""

    def num_msgs(self) -> int:
        """Return the number of messages that have not been drained, counted as rerun does."""
        self._content += self._readback.take()
        return _count(self._content)

    def concat_as_bytes(self, concat: Any = None) -> bytes:
        """Return all content that has not been drained, followed by that of `concat`, another such storage."""
        self._content += self._readback.take()
        return self._content + (concat.concat_as_bytes() if concat is not None else b"")

    def drain_as_bytes(self) -> bytes:
        """Return all content that has not been drained, and forget it."""
        content, self._content = self.concat_as_bytes(), b""
        return content


class BinaryStorage:
    """The storage behind a `rerun.BinaryStream` of one of our recordings."""

    def __init__(self, state: RecordingState) -> None:
        self._readback = Readback(state)

    def read(self, *, flush: bool = True, flush_timeout_sec: float = 1e38) -> bytes | None:
        """Return the stream of all rows since the last call; None if there are none.

        Raises
        ------
        FlushTimeoutError
            If it takes longer than `flush_timeout_sec` or the session's exit timeout, in seconds.
        """
        if flush:
            self.flush(timeout_sec=flush_timeout_sec)
        return self._readback.take() or None

    def flush(self, timeout_sec: float = 1e38) -> None:
        """Wait until all rows that this process has logged are stored. Raises as `rerun_mp.flush`."""
        routing.flush(timeout_sec)


class CallbackSink:
    """Passes new content to a callback, from a thread of its own. Notebooks show a recording in this way.

    It ends when the recording gets another sink, or the program ends. The callback gets all content stored by then.
    """

    def __init__(self, state: RecordingState, callback: Callable[[bytes], Any]) -> None:
        self._readback = Readback(state)
        self._callback = callback
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rerun_mp-callback", daemon=True)
        self._pid = os.getpid()
        self._thread.start()
        atexit.register(self._end)

    def _run(self) -> None:
        while self._readback.is_set() and not self._has_ended.wait(CALLBACK_POLL_SECS):
            if self._readback.has_grown():
                self._pass_on()
        if not self._has_ended.is_set():
            self._pass_on()

    def _pass_on(self) -> None:
        content = self._readback.take()
        if content:
            self._callback(content)

    def _end(self) -> None:
        if os.getpid() == self._pid and self._readback.is_set():
            self._has_ended.set()
            self._thread.join()
            routing.flush()
            self._pass_on()


def _count(content: bytes) -> int:
    from rerun_mp.encoding.rrd_files import messages_in

    return messages_in(content)
