"""Sends chunks to a live sink's server before the store has flushed them, if nothing else waits for that server.

A row of an idle program reaches its viewer earlier by the time that rerun's file writer takes, and by two changes of
threads: the main thread sends on the connection that the sink's thread *lends* while it waits. Large sweeps, and sinks
that have more to send, go the usual way, from the store.

Nothing else changes. Only a flushed chunk is acknowledged: when the sink's thread finds a chunk in the store, it counts
it without sending it again. A chunk that the store flushes never, because every disk is full, counts as dropped and not
as acknowledged. If the collector dies between the two, the next one repeats the sweep with the same chunk ids, and a
viewer keeps a chunk once. So only chunks of a sweep that has begun may be sent ahead.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rerun_mp.encoding.log_messages import chunk_message
from rerun_mp.errors import ResourceError

if TYPE_CHECKING:
    from rerun_mp.collector.acknowledged_calls import AcknowledgedCalls
    from rerun_mp.collector.drain.chunks import ChunkBatch
    from rerun_mp.encoding.frames import RecordingKey

__all__ = ["Ahead"]


class Ahead:
    """What one live sink sends ahead of the store. The worker's main thread calls `send`, the sink's the rest."""

    def __init__(self, recording: RecordingKey) -> None:
        self._recording = recording
        self._lock = threading.Lock()
        """Guards the other attributes. Each thread holds it for less than a millisecond."""
        self._calls: AcknowledgedCalls | None = None
        """The connection while it is lent, and everything sent on it has an answer."""
        self._following = 0
        """Ordinal of the chunk that the sink waits for."""
        self._sent: frozenset[str] = frozenset()
        """Ids of the chunks that were sent and have no answer yet."""
        self._answered: frozenset[str] = frozenset()
        """Ids of the last chunks that were sent ahead and answered."""

    @property
    def answered(self) -> Collection[str]:
        """Ids of chunks that the server has and the store may not have flushed yet."""
        return self._answered

    def send(self, chunks: Sequence[ChunkBatch], first: int) -> bool:
        """Send chunks, the first of which gets ordinal `first`, if the connection is lent. Never waits.

        Returns whether they were sent.
        """
        with self._lock:
            calls = self._calls
            if calls is None or self._following != first:
                return False
            self._calls = None
            try:
                for chunk in chunks:
                    message = chunk_message(self._recording, chunk.chunk_id, chunk.batch, is_plain=chunk.is_plain)
                    calls.send(message)
            except ResourceError:
                return False  # the sink's thread finds that out, too
            calls.push()
            self._sent = frozenset(chunk.chunk_id for chunk in chunks)
            return True

    def lend(self, calls: AcknowledgedCalls, following: int) -> None:
        """Let the main thread send the chunk with ordinal `following`. The caller uses `calls` after `take_back`."""
        with self._lock:
            self._calls, self._following = calls, following

    def take_back(self) -> bool:
        """Return whether something was sent. The caller awaits the answer, and calls `note_answer`."""
        with self._lock:
            self._calls = None
            return bool(self._sent)

    def note_answer(self) -> None:
        """Note that the server has what was sent."""
        with self._lock:
            self._sent, self._answered = frozenset(), self._sent

    def forget_unanswered(self) -> None:
        """Forget what was sent on a connection that is gone."""
        with self._lock:
            self._calls, self._sent = None, frozenset()

    def forget(self) -> None:
        """Forget everything: the server was started anew."""
        with self._lock:
            self._calls, self._sent, self._answered = None, frozenset(), frozenset()
