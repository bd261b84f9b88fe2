"""Live sinks: viewers and gRPC servers, which may be slow, frozen, gone or not there yet. They hold up nothing else.

Each live sink has a thread that *pulls* from the store. It knows the ordinal of the next chunk, reads from there on
(see `flushed_chunks`), and is woken when there is more, so no queue can overflow. A sink that is attached late begins
with everything that the store holds. One that fell behind goes on where it was. A sink whose viewer was started anew
begins again; a viewer that gets a chunk twice keeps it once.

Bounded: at most `FLUSH_BYTES` and the 1 to 2 MB of a gRPC window are on their way. The thread then flushes, and sends
nothing while the flush times out. It connects only to a port that answers.

States::

    connecting ──port answers──► following ◄──flush succeeds / times out──► stalled
        ▲                            └──────────────┬──────────────────────────┘
        └────────the viewer is gone─────────────────┤
                                                    └──stop, delivered or no progress──► closed

A stopped sink delivers everything that the store held at that moment, as long as its viewer takes it.

The worker's main thread makes, wakes, stops and closes a sink. Everything else happens in the sink's own daemon thread,
which may sit in native code for as long as a viewer is frozen.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Literal
from urllib.parse import urlsplit

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.messages import say
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rerun_sinks import SinkWriter, open_grpc, open_server
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import Blueprint, SinkSpec
from rerun_mp.session.sink_status import SinkStatus
from rerun_mp.viewers.http2 import speaks_http2

__all__ = ["LiveSink"]

FLUSH_BYTES = 4 << 20
"""Bytes sent between two flushes."""
FLUSH_SECS = 0.5
"""Maximum seconds for one flush."""
IDLE_SECS = 1.0
"""Seconds between two checks of an idle connection."""
RETRY_SECS = (0.1, 2.0)
"""Seconds between two attempts to connect: the first pause, and the longest."""
CONNECT_SECS = 1.0
"""Maximum seconds to find out whether a port answers."""
UNANSWERED_SECS = 10.0
"""A new stream that could not be flushed for so many seconds has its port checked again."""
GRACE_SECS = 30.0
"""Seconds without progress after which a stopped sink gives up. When a viewer was frozen and is awake again, the kernel
may let its connection rest for as long again before it sends more."""
PROBE_SECS = 0.5
"""Maximum seconds in which an awake viewer answers, and seconds between two probes."""
DISCARD_SECS = 2.0
"""Maximum seconds to close the stream of a viewer that is gone."""

State = Literal["connecting", "following", "stalled", "closed"]


class _OutOfTimeError(Exception):
    """The sink was stopped, and its viewer does not take the rest."""


class LiveSink:
    """One viewer or gRPC server that follows one recording."""

    def __init__(self, spec: SinkSpec, store: RecordingStore) -> None:
        self._spec = spec
        self._store = store
        self._state: State = "connecting"
        self._since_ns = time.time_ns()
        self._failure: str | None = None
        self._connections = 0
        self._next = 0
        """Ordinal of the next chunk to send."""
        self._missed_chunks = 0
        self._blueprint: Blueprint | None = None
        """The last blueprint that was sent on this connection."""
        self._wake = threading.Event()
        """Set when there may be more to send, or the sink was stopped."""
        self._stopped = threading.Event()
        self._stop: int | None = None
        """Ordinal after the last chunk to deliver, once the sink was stopped."""
        self._progress_at = time.monotonic()
        """When the viewer last took what it was sent, or the sink was stopped."""
        store.attach_live()
        self._thread = threading.Thread(target=self._run, name=f"rerun_mp-live {spec.target}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that the store may have another chunk or blueprint. Never waits."""
        self._wake.set()

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()

    def report(self) -> SinkStatus:
        """Return the state of the sink, for the user. Any thread may call."""
        names: dict[State, Any] = {"connecting": "retrying", "following": "connected"}
        behind_chunks, behind_rows = self._store.chunks.behind(self._next)
        return SinkStatus(
            *self._store.recording,
            self._spec.kind,
            self._spec.shown_target,
            names.get(self._state, self._state),
            self._since_ns,
            behind_rows,
            behind_chunks,
            self._missed_chunks,
            self._failure,
        )

    def stop(self) -> None:
        """Deliver what the store holds now, and nothing after it, then disconnect. Never waits.

        The thread gives up when its viewer has taken nothing for `GRACE_SECS`. It may sit in a native call for longer
        if the viewer is frozen.
        """
        if self._stop is None:
            self._stop = self._store.chunks.end
            self._progress_at = time.monotonic()
            self._store.unfollow()
            self._stopped.set()
            self._wake.set()

    @property
    def is_done(self) -> bool:
        """Whether a stopped sink has delivered everything or given up."""
        return not self._thread.is_alive()

    def close(self, patience_secs: float) -> bool:
        """Stop, and wait until the sink is done or makes no more progress. Returns whether it is done.

        A viewer that answers may go without progress for `GRACE_SECS`, one that does not for `patience_secs`. The
        caller may remove the store afterwards. Called once.
        """
        self.stop()
        while not self.is_done:
            left = self._progress_at + patience_secs - time.monotonic()
            if left <= 0 and (self._is_out_of_time() or not self._is_awake()):
                break
            self._thread.join(max(left, PROBE_SECS))
        return self.is_done

    # In the sink's own thread

    def _run(self) -> None:
        pause_secs = RETRY_SECS[0]
        while not self._is_out_of_time():
            self._enter("connecting")
            if self._answers():
                connections = self._connections
                try:
                    self._serve()
                    break
                except _OutOfTimeError:
                    break
                except (ResourceError, CorruptionError, RuntimeError, OSError) as error:
                    self._say(str(error))
                if self._connections > connections:
                    pause_secs = RETRY_SECS[0]
            elif self._stop is not None:
                break
            self._stopped.wait(pause_secs)
            pause_secs = min(2 * pause_secs, RETRY_SECS[1])
        self._enter("closed")

    def _serve(self) -> None:
        """Connect, and follow the store until the sink is stopped or the viewer is gone."""
        opener = open_server if self._spec.kind == "serve" else open_grpc
        writer = opener(self._spec.target, self._store.recording, blueprint=self._spec.blueprint)
        self._next = self._missed_chunks = 0
        self._blueprint = None
        try:
            self._drain(writer, is_new=True)
            self._connections += 1
            while True:
                self._wake.clear()  # before reading: a chunk that comes meanwhile wakes again
                is_last = self._stop is not None
                self._send_new(writer)
                if is_last:
                    break
                self._wake.wait(IDLE_SECS)
            writer.close(max(0.1, self._progress_at + GRACE_SECS - time.monotonic()))
        except _OutOfTimeError:
            writer.abandon()
            raise
        except FlushTimeoutError as error:  # `close` has abandoned the writer
            raise _OutOfTimeError from error
        except BaseException:
            writer.discard(DISCARD_SECS)
            raise

    def _send_new(self, writer: SinkWriter) -> None:
        blueprint = self._store.blueprint
        if blueprint is not None and blueprint is not self._blueprint:
            writer.send_blueprint(self._store.recording, blueprint)
            self._blueprint = blueprint
        sent_bytes = 0
        for ordinal, chunk in self._store.chunks.read(self._next):
            if self._stop is not None and ordinal >= self._stop:
                break
            self._missed_chunks += ordinal - self._next
            self._next = ordinal + 1
            try:
                writer.send(chunk)
            except CorruptionError:
                continue  # the store has counted its rows
            sent_bytes += chunk.num_bytes if isinstance(chunk, ChunkBatch) else chunk.to_record_batch().nbytes
            if sent_bytes >= FLUSH_BYTES:
                self._drain(writer)
                sent_bytes = 0
        self._drain(writer)

    def _drain(self, writer: SinkWriter, *, is_new: bool = False) -> None:
        """Wait until the viewer has taken nearly everything that was sent."""
        next_probe = time.monotonic() + UNANSWERED_SECS
        while True:
            try:
                writer.flush(FLUSH_SECS)
            except FlushTimeoutError as error:
                self._enter("stalled")
                if self._is_out_of_time():
                    raise _OutOfTimeError from error
                if is_new and time.monotonic() > next_probe:
                    # The kernel accepts connections for a frozen viewer, but not for one that is gone.
                    next_probe += UNANSWERED_SECS
                    if not self._answers():
                        raise ResourceError(f"{self._spec.target} does not answer") from error
            else:
                self._enter("following")
                self._failure = None
                self._progress_at = time.monotonic()
                self._store.chunks.note_seen(self._next)
                return

    def _is_out_of_time(self) -> bool:
        return self._stop is not None and time.monotonic() > self._progress_at + GRACE_SECS

    def _is_awake(self) -> bool:
        """Whether the viewer itself answers, and not the kernel for it."""
        parts = urlsplit(self._spec.target)
        if parts.scheme != "rerun+http" or parts.hostname is None or parts.port is None:
            return False
        try:
            with socket.create_connection((parts.hostname, parts.port), PROBE_SECS) as connection:
                return speaks_http2(connection, PROBE_SECS)
        except OSError:
            return False

    def _answers(self) -> bool:
        """Whether a program listens on the viewer's port. rerun-sdk would wait for it for 5 s."""
        if self._spec.kind == "serve":
            return True
        parts = urlsplit(self._spec.target)
        if parts.hostname is None or parts.port is None:
            return True  # rerun-sdk fills in its defaults
        try:
            with socket.create_connection((parts.hostname, parts.port), CONNECT_SECS):
                return True
        except OSError as error:
            self._failure = f"nothing answers at {self._spec.target}: {error}"
            return False

    def _say(self, reason: str) -> None:
        self._failure = reason
        say(f"rerun_mp: {self._store.recording.application_id}: {reason}")
