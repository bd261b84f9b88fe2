"""One output: the store and the live sinks of a recording, or of one sink that has a store of its own.

Used by the worker's main thread only.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.live import LiveSink, Outcome
from rerun_mp.collector.messages import say
from rerun_mp.collector.store.parts import count_logged_rows
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.unsent import describe, describe_rows, unsent_path
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.session.config import NODE_OWNER, RecordingSpec, SinkSpec

__all__ = ["FLUSH_TIMEOUT", "OutputKey", "RecordingOutput"]

FLUSH_TIMEOUT = 30.0
"""Seconds without progress after which a file counts as failed."""


class OutputKey(NamedTuple):
    """Names an output."""

    recording: RecordingKey
    scoped_to: str = ""
    """Kind and target of the sink that the output is for, or "" if it has the whole recording."""


class RecordingOutput:
    """The store and the live sinks of one recording, or of what some processes log to it."""

    def __init__(self, store: RecordingStore) -> None:
        self.store = store
        self.owners: frozenset[int] = frozenset()
        """Processes that set the sink. A scoped output takes the rows logged in their scopes."""
        self.has_sinks = False
        """Whether this life of the collector has opened sinks that it has not closed."""
        self.live: dict[SinkSpec, LiveSink] = {}
        self.lacking: list[Outcome] = []
        """Outcomes of ended live sinks that have not brought all rows to their server."""
        self.stopped: list[LiveSink] = []
        """Live sinks that were replaced and may still be delivering earlier rows."""

    @property
    def is_whole(self) -> bool:
        """Whether it takes the rows of all processes."""
        return not self.owners or NODE_OWNER in self.owners

    def apply(self, spec: RecordingSpec, taken: Collection[str] = ()) -> bool:
        """Open and close sinks until they are those of `spec`, and give them its blueprint.

        Returns False if the former file cannot be completed now, as on a full disk. The store keeps it, and the next
        call tries again. The live sinks are those of `spec` all the same.

        `taken`: paths of files of the session's other outputs.
        """
        wanted = list(spec.sinks)
        self.has_sinks = bool(wanted)
        is_applied = True
        try:
            self.store.set_files([sink for sink in wanted if sink.kind == "file"], taken)
        except (FlushTimeoutError, ResourceError):
            is_applied = False  # the store has reported it
        self.store.set_blueprint(spec.blueprint)
        for live in self.live.values():
            live.wake()
        for known in [sink for sink in self.live if sink not in wanted]:
            changed = next((sink for sink in wanted if (sink.kind, sink.target) == (known.kind, known.target)), None)
            if changed is not None and changed not in self.live:
                self.live[changed] = self.live.pop(known)
                self.live[changed].change(changed)
        for unwanted in [sink for sink in self.live if sink not in wanted]:
            sink = self.live.pop(unwanted)
            sink.stop()
            self.stopped.append(sink)
        self.close_live(0.0, [sink for sink in self.stopped if sink.is_done])
        for new in wanted:
            if new.kind != "file" and new not in self.live:
                self.live[new] = LiveSink(new, self.store)
        return is_applied

    def show_ahead(self, chunks: Sequence[ChunkBatch]) -> None:
        """Send chunks that are not stored yet to the live sinks that wait for some. Never waits."""
        for live in self.live.values():
            live.send_ahead(chunks)

    def stop_live(self) -> None:
        """Let all live sinks deliver what is stored now, and nothing later. Never waits."""
        self.stopped += self.live.values()
        self.live.clear()
        for sink in self.stopped:
            sink.stop()

    def close_live(self, patience_secs: float, sinks: Sequence[LiveSink]) -> None:
        """Wait until stopped sinks are done, or make no progress for `patience_secs`, and note which lack rows."""
        for sink in sinks:
            sink.close(patience_secs)
            self.stopped.remove(sink)
            self.store.note_acknowledged()
            outcome = sink.outcome()
            if outcome.missing_rows and not sink.is_of_node:
                self.lacking.append(outcome)

    def keep_unsent(self, recording: RecordingKey, nonce: bytes) -> tuple[list[str], list[str]]:
        """Keep the rows that live sinks have not brought to their servers.

        Called after `close_live`. A store that cannot keep its rows stays incomplete, and its spool stays.

        Returns
        -------
        tuple[list[str], list[str]]
            The files that hold such rows only, and a line for the user about each sink that lacks rows.
        """
        store, kept = self.store, []
        try:
            if not store.is_complete and not store.chunks.is_for_file:
                rows, _ = store.chunks.rows_until(store.chunks.rows)
                store.complete(unsent_path(recording, nonce, rows) if self.lacking else None)
                kept = store.chunks.completed_files(store.chunks.end)
            elif NODE_OWNER not in self.owners and (rows := count_logged_rows(store.chunks.unsent())):
                path = unsent_path(recording, nonce, rows)
                store.keep_unsent(path)
                kept = [path]
                if not self.lacking:
                    return kept, [describe_rows(recording, rows, path)]
        except OSError as error:
            say(f"worker {os.getpid()}: {recording}: {error}")
        return kept, [describe(recording, one, store.chunks.completed_files(one.stop)) for one in self.lacking]

    def take_earlier_rows(self, other: RecordingOutput) -> None:
        """Take the rows that `other` has stored before any sink was set. A second call adds no row twice."""
        earlier = list(other.store.chunks.before_sinks())
        self.store.chunks.note_repeated([chunk.chunk_id for chunk in earlier])
        self.store.append(earlier)
        self.store.flush(FLUSH_TIMEOUT)
        if earlier and other.store.chunks.begin:
            # A dead collector has stored them, and the last ones may come again. Merging two parts drops them.
            self.store.rest()
