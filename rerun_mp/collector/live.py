"""Live sinks: viewers and gRPC servers, which may be slow, frozen, gone or not there yet. They delay nothing else.

Each live sink has a thread that *pulls* from the store. It knows the ordinal of the next chunk, reads from there on
(see `flushed_chunks`), and is woken when there is more, so no queue can overflow. A sink that is attached late begins
with the first chunk that the store holds. A sink that fell behind goes on where it was. While a sink waits, the main
thread may send it a small chunk before the store has flushed it (`ahead`).

A sink sends in calls of at most `CALL_BYTES`, and the server answers each call when it has taken all of it. The chunks
of an answered call are *acknowledged*. When a connection breaks, the sink connects again. If the server is the same
process, which the sink recognises (see `acknowledged_calls`), it goes on from what was acknowledged. A server that was
started anew gets everything again; a viewer that gets a chunk twice keeps it once.

Bounded: at most one call is on its way. The sink connects only to a port that answers.

States::

    connecting ──server answers──► following ◄──call answered / not in time──► stalled
        ▲                              └──────────────┬──────────────────────────┘
        └────────the server is gone───────────────────┤
                                                      └──stop, all acknowledged or no progress──► closed

A stopped sink still sends the chunks that the store held at that moment, as long as the server takes them.

The worker's main thread makes, wakes, stops and closes a sink. Everything else happens in the sink's own daemon thread.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from rerun_mp.collector.acknowledged_calls import AcknowledgedCalls, is_awake
from rerun_mp.collector.ahead import Ahead
from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.messages import say
from rerun_mp.collector.repeated_chunks import RepeatedChunks
from rerun_mp.collector.rules import RuleBook
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rerun_sinks import SinkWriter, open_server
from rerun_mp.encoding.log_messages import chunk_id_of, identity_of, store_field
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import NODE_OWNER, Blueprint, SinkSpec
from rerun_mp.session.sink_status import SinkStatus

__all__ = ["LiveSink", "Outcome", "wake_all"]

CALL_BYTES = 4 << 20
"""Bytes of chunks after which a call ends."""
ANSWER_SECS = 0.5
"""Seconds to wait for an answer before the server counts as stalled, and between two looks at it."""
IDLE_SECS = 1.0
"""Seconds between two checks of an idle connection."""
RETRY_SECS = (0.1, 2.0)
"""Seconds between two attempts to connect: the first pause, and the longest."""
CONNECT_SECS = 1.0
"""Maximum seconds to connect."""
KNOW_SECS = 2.0
"""Maximum seconds to find out whether a server is the one that acknowledged. One that keeps nothing never answers."""
ABSENT_SECS = 1.0
"""Seconds without an answer. If a stopped sink's connection breaks after them, the sink gives up."""
GRACE_SECS = 30.0
"""Seconds without progress after which a stopped sink gives up although its server answers others: it may be busy."""
PROBE_SECS = 0.25
"""Maximum seconds in which an awake server answers, and seconds between two probes."""
DISCARD_SECS = 2.0
"""Maximum seconds to close a server of the collector."""
HANDOVER_SECS, LONG_HANDOVER_SECS = 0.00005, 0.0005
"""Seconds that `wake_all` waits, so that the sinks' threads get the interpreter's lock; and before a rest."""

State = Literal["connecting", "following", "stalled", "closed"]


class _OutOfTimeError(Exception):
    """The sink was stopped, and its server does not take the rest."""


class Outcome(NamedTuple):
    """What a closed sink has delivered to its server."""

    target: str
    acknowledged_rows: int
    missing_rows: int
    """Rows that the server has not acknowledged."""
    is_exact: bool
    """Whether `missing_rows` is exact, and not only a minimum."""
    stop: int
    """Ordinal after the last chunk that it had to deliver."""


class LiveSink:
    """One viewer or gRPC server that follows one recording."""

    def __init__(self, spec: SinkSpec, store: RecordingStore) -> None:
        self._spec = spec
        self._store = store
        self._recording = store.chunks.written
        """The recording that the server gets. A part of the store may hold it under another id."""
        self._store_field = store_field(self._recording)
        self._mark = os.urandom(16)
        """Recognises the server that acknowledged: see `acknowledged_calls`."""
        self._state: State = "connecting"
        self._since_ns = time.time_ns()
        self._failure: str | None = None
        self._acknowledged = 0
        """Ordinal of the first chunk that the server has not acknowledged."""
        self._acknowledged_rows = 0
        self._rules = [(0, RuleBook(spec.rules, self._recording))]
        """(ordinal of the first chunk to which they apply, rules), the oldest ones first."""
        self._held_rows = 0
        """Rows up to `_acknowledged` that the rules hold back."""
        self._has_acknowledged = False
        """Whether the mark has reached a server."""
        self._missed_chunks = 0
        self._repeated = RepeatedChunks(store.chunks)
        self._blueprint: Blueprint | None = None
        """The last blueprint that the server has acknowledged."""
        self._default: str | None = None
        """The same of the sink's default blueprint."""
        self._ahead = Ahead(self._recording)
        self._wake = threading.Event()
        """Set when there may be more to send, or the sink was stopped."""
        self._stopped = threading.Event()
        self._given_up = threading.Event()
        """Set when nothing waits for the sink any more."""
        self._stop: int | None = None
        """Ordinal after the last chunk to deliver, once the sink was stopped."""
        self._stop_rows = 0
        """Rows that this life of the collector had stored when the sink was stopped."""
        self._progress_at = time.monotonic()
        """When the server last acknowledged, or the sink was stopped."""
        self._seen_at = time.monotonic()
        """When a server last answered, or the sink began."""
        self._server: SinkWriter | None = None
        """The collector's own server, of a sink of kind "serve"."""
        store.attach_live()
        self._thread = threading.Thread(target=self._run, name=f"rerun_mp-live {spec.target}", daemon=True)
        self._thread.start()

    @property
    def is_of_node(self) -> bool:
        """Whether the sink is the live view of a node's head. Its rows are in the node's parts."""
        return self._spec.owner == NODE_OWNER

    def change(self, spec: SinkSpec) -> None:
        """Take other rules and another default blueprint for the same server. The main thread calls this.

        The rules do not apply to chunks that are stored by now. A chunk of which they hold rows back has another id, so
        its rows would be there twice.
        """
        self._spec = spec
        self._rules.append((self._store.chunks.end, RuleBook(spec.rules, self._recording)))
        self.wake()

    def wake(self) -> None:
        """Say that the store may have another chunk or blueprint. Never waits."""
        self._wake.set()

    def send_ahead(self, chunks: Sequence[ChunkBatch]) -> None:
        """Send the chunks that the store will flush next, if the sink waits for them. The main thread calls this."""
        if not self._spec.rules and self._ahead.send(chunks, self._store.chunks.end):
            self._wake.set()

    def _enter(self, state: State) -> None:
        if state != self._state:
            self._state, self._since_ns = state, time.time_ns()

    def report(self) -> SinkStatus:
        """Return the state of the sink, for the user. Any thread may call."""
        names: dict[State, Any] = {"connecting": "retrying", "following": "connected"}
        behind_chunks, behind_rows = self._store.chunks.behind(self._acknowledged)
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
            self._acknowledged_rows,
            held_rows=self._held_rows,
        )

    def outcome(self) -> Outcome:
        """Return what a stopped sink has delivered to its server so far."""
        assert self._stop is not None
        missing, is_exact = 0, True
        if self._acknowledged < self._stop or self._missed_chunks:
            rows, is_exact = self._store.chunks.rows_until(self._stop_rows)
            missing = max(0, rows - self._acknowledged_rows - self._held_rows)
        return Outcome(self._url(), self._acknowledged_rows, missing, is_exact, self._stop)

    def stop(self) -> None:
        """Deliver what the store holds now, and nothing after it, then disconnect. Never waits.

        The thread gives up when its server has acknowledged nothing for `GRACE_SECS`.
        """
        if self._stop is None:
            self._stop, self._stop_rows = self._store.chunks.end, self._store.chunks.rows
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

        A server that answers may go without progress for `GRACE_SECS`, one that does not for `patience_secs`. The
        caller may remove the store afterwards. Called once.
        """
        self.stop()
        while not self.is_done:
            left = self._progress_at + patience_secs - time.monotonic()
            may_be_awake = self._spec.kind == "grpc" and not self._is_out_of_time()
            if left <= 0 and not (may_be_awake and is_awake(self._spec.target, PROBE_SECS)):
                break
            self._thread.join(max(left, PROBE_SECS))
        self._given_up.set()
        return self.is_done

    # In the sink's own thread

    def _run(self) -> None:
        pause_secs = RETRY_SECS[0]
        while not self._is_out_of_time():
            self._enter("connecting")
            had_acknowledged = self._acknowledged, self._has_acknowledged
            try:
                self._serve()
                break
            except _OutOfTimeError:
                break
            except (ResourceError, CorruptionError, RuntimeError, OSError) as error:
                self._say(str(error))
            if had_acknowledged != (self._acknowledged, self._has_acknowledged):
                pause_secs = RETRY_SECS[0]
            if self._stop is not None and time.monotonic() - self._seen_at > ABSENT_SECS:
                break
            self._stopped.wait(pause_secs)
            if self._stop is not None:
                self._given_up.wait(RETRY_SECS[0])
            pause_secs = min(2 * pause_secs, RETRY_SECS[1])
        if self._server is not None:
            self._server.discard(DISCARD_SECS)
        self._enter("closed")

    def _serve(self) -> None:
        """Connect, and follow the store until the sink is stopped or the server is gone."""
        if self._spec.kind == "serve" and self._server is None:
            self._server = open_server(self._spec.target, self._recording)
        self._ahead.forget_unanswered()
        calls = AcknowledgedCalls(self._url(), self._recording, connect_secs=CONNECT_SECS)
        try:
            if not self._is_same_server(calls):
                self._begin(calls)
            while True:
                self._wake.clear()  # before reading: a chunk that comes meanwhile sets it again
                is_last = self._stop is not None
                self._send_new(calls)
                if is_last:
                    return
                self._ahead.lend(calls, self._acknowledged)
                self._wake.wait(IDLE_SECS)
                if self._ahead.take_back():
                    self._await_answer(calls)
                    self._ahead.note_answer()
        finally:
            calls.close()

    def _url(self) -> str:
        if self._spec.kind == "grpc":
            return self._spec.target
        host, port, *_ = json.loads(self._spec.target)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"rerun+http://{f'[{host}]' if ':' in host else host}:{port}/proxy"

    def _is_same_server(self, calls: AcknowledgedCalls) -> bool:
        """Whether the server is the one that has acknowledged this sink's chunks before."""
        if not self._has_acknowledged:
            return False
        try:
            return calls.knows(self._mark, KNOW_SECS)
        except FlushTimeoutError:
            return False

    def _begin(self, calls: AcknowledgedCalls) -> None:
        """Begin the recording in a server that has no chunk of this sink."""
        self._acknowledged = self._acknowledged_rows = self._held_rows = self._missed_chunks = 0
        self._rules[:] = [(0, RuleBook(self._spec.rules, self._recording))]
        self._has_acknowledged = False
        self._repeated.clear()
        self._ahead.forget()
        self._blueprint = self._default = None
        calls.send_mark(self._mark)
        self._send_default_blueprint(calls)
        self._await_answer(calls)
        self._has_acknowledged = True

    def _send_default_blueprint(self, calls: AcknowledgedCalls) -> None:
        default = self._spec.blueprint
        if default is not None and default != self._default:
            calls.send_blueprint(Blueprint(default, make_active=False, make_default=True))
            self._await_answer(calls)
            self._default = default

    def _send_new(self, calls: AcknowledgedCalls) -> None:
        self._send_default_blueprint(calls)
        blueprint = self._store.blueprint
        if blueprint is not None and blueprint is not self._blueprint:
            calls.send_blueprint(blueprint)
            self._await_answer(calls)
            self._blueprint = blueprint
        self._acknowledge_ahead()
        following, sent_bytes, rows, held, missed = self._acknowledged, 0, 0, 0, 0
        for chunk in self._store.chunks.read(following):
            if self._stop is not None and chunk.ordinal >= self._stop:
                break
            rules = next(rules for first, rules in reversed(self._rules) if chunk.ordinal >= first)
            allowed = rules.allowed(chunk.payload)
            missed += max(0, chunk.ordinal - following)
            following = max(following, chunk.ordinal + (not chunk.is_carried))
            new_rows = self._repeated.new_rows(chunk.ordinal, chunk.rows, partial(chunk_id_of, chunk.payload))
            held_rows = min(new_rows, allowed.held_rows)
            held += held_rows
            rows += new_rows - held_rows
            if allowed.payload is not None:
                is_named = allowed.payload.startswith(self._store_field)
                calls.send(allowed.payload if is_named else allowed.payload + self._store_field)
                sent_bytes += len(allowed.payload)
            if sent_bytes >= CALL_BYTES:
                self._await_answer(calls)
                self._note_acknowledged(following, rows, held, missed)
                sent_bytes = rows = held = missed = 0
        self._await_answer(calls)
        self._note_acknowledged(following, rows, held, missed)

    def _acknowledge_ahead(self) -> None:
        """Acknowledge the chunks that were sent before they were stored, and are stored now."""
        following, rows = self._acknowledged, 0
        for ordinal, chunk_id, number in self._store.chunks.flushed_of(following, self._ahead.answered):
            following = ordinal + 1
            rows += self._repeated.new_rows(ordinal, number, partial(identity_of, chunk_id))
        if following > self._acknowledged:
            self._note_acknowledged(following, rows, 0, 0)

    def _note_acknowledged(self, following: int, rows: int, held: int, missed: int) -> None:
        self._missed_chunks += missed
        self._held_rows += held
        self._acknowledged_rows += rows
        self._acknowledged = following
        while len(self._rules) > 1 and self._rules[1][0] <= following:
            del self._rules[0]
        self._store.chunks.note_seen(following)

    def _await_answer(self, calls: AcknowledgedCalls) -> None:
        """Wait until the server has answered for everything that was sent."""
        while True:
            try:
                calls.flush(ANSWER_SECS)
            except FlushTimeoutError as error:
                self._enter("stalled")
                if self._is_out_of_time():
                    raise _OutOfTimeError from error
            else:
                self._enter("following")
                self._failure = None
                self._seen_at = self._progress_at = time.monotonic()
                return

    def _is_out_of_time(self) -> bool:
        if self._given_up.is_set():
            return True
        return self._stop is not None and time.monotonic() > self._progress_at + GRACE_SECS

    def _say(self, reason: str) -> None:
        if reason != self._failure:
            say(f"rerun_mp: {self._store.recording.application_id}: {reason}")
        self._failure = reason


def wake_all(sinks: Sequence[LiveSink], *, is_before_rest: bool = False) -> None:
    """Wake sinks, and let their threads begin. Otherwise the caller keeps the interpreter's lock until it waits.

    Before a rest the caller waits longer, because it would take the lock back at the thread's first system call.
    """
    for sink in sinks:
        sink.wake()
    if sinks:
        time.sleep(LONG_HANDOVER_SECS if is_before_rest else HANDOVER_SECS)
