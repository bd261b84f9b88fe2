"""A session that this process has joined: it appends rows to the ring, and waits for the collector.

Modules beside this one do the rest for a session: `founding` founds or joins it, `current` keeps that of the process,
`sink_changes` sets its sinks, `leaving` ends the process's part. Any thread may call, and signal handlers may log.

Fork: a child inherits the mapped segment and the share in the participants lock, and makes a producer of its own for
its first row. `Session.begin_life` replaces the rest: `current` calls it after a fork; after a fork made in C, where no
hook runs, the session does when it finds the fork guard wiped.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from rerun_mp.encoding.frames import FrameKind, Rows, Shape
from rerun_mp.encoding.ids import SessionName, recording_id
from rerun_mp.errors import CollectorError, FlushTimeoutError, SessionError
from rerun_mp.session import ancestry
from rerun_mp.session.collector_watch import CollectorWatch
from rerun_mp.session.config_file import ConfigEditor, read_config
from rerun_mp.session.producer_start import make_producer
from rerun_mp.session.waiting import Backlog, Patience, Progress, wait_until
from rerun_mp.settings import Settings
from rerun_mp.shm import leases
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Line
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from typing_extensions import Buffer

    from rerun_mp.encoding.encoder import BlobTemplate
    from rerun_mp.producer.open_table import OpenTable, TableRow
    from rerun_mp.producer.producer import Producer
    from rerun_mp.producer.repeated_blobs import BlobAppend
    from rerun_mp.producer.table_slots import Outcome
    from rerun_mp.session.config import SessionConfig
    from rerun_mp.shm.segment import Segment

__all__ = ["Session", "fork_guard"]

_guard: leases.ForkGuard | None = None
"""The fork guard of all sessions of this process; its bytes are wiped in a forked child."""


def fork_guard() -> leases.ForkGuard:
    """Return this process's fork guard.

    Raises
    ------
    ResourceError
        If the kernel cannot offer one.
    """
    global _guard
    if _guard is None:
        _guard = leases.ForkGuard()
    return _guard


class Session:
    """A session that this process has joined."""

    def __init__(
        self,
        key: bytes,
        joined: Segment,
        *,
        is_founder: bool = False,
        is_rank: bool = False,
        is_shared: bool = False,
        recording_key: bytes | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.key = key
        self.segment = joined
        self._guard = fork_guard()
        self._founder_pid = os.getpid() if is_founder else -1
        self.is_rank = is_rank
        """Whether this process is a rank of a launcher's job. Its first rank on this host counts as the founder."""
        self.is_shared = is_shared
        """Whether the session has a name, and the sinks of each of its processes take the rows of all."""
        self._recording_key = recording_key
        """The key from which all hosts of this process's job derive recording ids; None: see `default_recording_id`."""
        self._settings = settings
        self._words = joined.ring.words
        self._ringer = Ringer(joined.nonce)
        """A forked child inherits it, and the open semaphore with it."""
        self.scope: int | None = 0 if is_founder else None
        """Token of the scope that this process logs in; None: not known yet. A forked child inherits it."""
        self._producer: Producer | None = None
        self.begin_life()

    def begin_life(self) -> None:
        """Set the state that a process does not share with the process that forked it."""
        if self._producer is not None:
            self._producer.invalidate()
        self._producer = None
        self.segment.reserve.renew(self.segment.open)
        if os.geteuid() == 0:
            self._ringer.prepare()
        self._life = object()
        """Another object after each fork."""
        self._creating = threading.RLock()
        """Guards the replacement of `_producer`."""
        self._earlier_pending: list[tuple[int, int, int]] = []
        """(slot, epoch, count) of unstored rows from this process's closed producers."""
        self.config_editor = ConfigEditor(self.segment, self._ringer)
        self.token = int.from_bytes(os.urandom(7), "little") + 1
        """Identifies this process as the owner of sinks and of a scope."""
        self._collector = CollectorWatch(self.segment)
        self.must_complete = False
        """Whether this process, when it leaves, waits for its rows and for complete files: it has set a sink."""
        self.has_left = False
        """Whether this process has left. A second call of `leave` then does nothing."""

    @property
    def name(self) -> SessionName:
        """The name by which child processes find the session."""
        return SessionName(self.key, self.segment.root)

    @property
    def is_founder(self) -> bool:
        """Whether this process founded the session, or leads the job whose ranks share it."""
        return self._founder_pid == os.getpid()

    @property
    def settings(self) -> Settings:
        """This process's settings. The founder's settings determine the ring."""
        if self._settings is None:
            self._settings = Settings()
        return self._settings

    def default_recording_id(self, application_id: str) -> str:
        """Return the recording id that every process of the session, and of its job, derives for `application_id`."""
        if self._recording_key is None:
            # A child of a rank may have lost the job's variables.
            node = self.config().node
            self._recording_key = bytes.fromhex(node.recording_key) if node and node.recording_key else self.key
        return recording_id(self._recording_key, application_id)

    def config(self) -> SessionConfig:
        """Return the session's present configuration."""
        return read_config(self.segment)

    # ---- rows ------------------------------------------------------------------------------------------------------

    def append(
        self, shape: Shape, entity_path: bytes, body: Iterable[Buffer], rows: int, kind: FrameKind = FrameKind.ROWS
    ) -> bool:
        """Log rows of one shape on one entity. True: they survive the death of this process. False: dropped.

        Parameters
        ----------
        body
            Their batch in pieces, which are copied once, into the ring.
        kind
            The form of the batch: ROWS, STREAM or BLOCKS.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the session's policy waits.
        """
        pieces = tuple(memoryview(piece).cast("B") for piece in body)
        row = Rows(shape, entity_path, pieces, sum(map(len, pieces)), rows, kind)
        while True:
            producer, life = self._producer, self._life
            try:
                if producer is None or not producer.is_intact:
                    producer = self._new_producer(producer)
                return producer.append(row)
            except (ForkedError, OSError, SessionError, ValueError) as error:
                if not is_own(error) or not self._is_replaced(producer, life):
                    raise

    def append_row(self, row: TableRow) -> tuple[Outcome, OpenTable | None]:
        """Log one row that a table may take. Also returns the table that is open for such rows from now on.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the session's policy waits.
        """
        while True:
            producer, life = self._producer, self._life
            try:
                if producer is None or not producer.is_intact:
                    producer = self._new_producer(producer)
                return producer.append_row(row), producer.table_of(row.shape)
            except (ForkedError, OSError, SessionError, ValueError) as error:
                if not is_own(error) or not self._is_replaced(producer, life):
                    raise

    def _is_replaced(self, producer: Producer | None, life: object) -> bool:
        """Say whether a call that began with `producer` in `life` failed only because the process has another one now.

        Either a fork happened in the middle of the call and this is the child: its descriptors are closed, and the
        producer is its parent's. Or the process has entered a scope meanwhile.
        """
        is_child = life is not self._life or (producer is not None and not producer.is_intact)
        return is_child or self._producer is not producer

    def blob_append(
        self, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any
    ) -> BlobAppend | None:
        """Return the append for blobs like this one; see `repeated_blobs.BlobAppend`. None before the first row."""
        producer = self._producer
        if producer is None or not producer.is_intact:
            return None
        return producer.blob_append(template, names, log_time, archetype)

    def count_refused(self, rows: int) -> bool:
        """Count refused rows in this process's account. False: it has none."""
        producer = self._producer
        return producer is not None and producer.count_refused(rows)

    def seal(self) -> None:
        """Hand this process's open slots to the collector."""
        producer = self._producer
        if producer is not None and producer.is_intact:
            producer.seal()

    # ---- waits -----------------------------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None, patience: Patience | None = None) -> None:
        """Wait until all rows that this process has logged are stored.

        Parameters
        ----------
        timeout
            Seconds; None waits without bound.
        patience
            Answers the first Ctrl-C, so that only the second one ends the wait.

        Raises
        ------
        FlushTimeoutError
            If it took longer, or, without a bound, no collector can be started. The rows are safe in shared memory.
        """
        pending, producer = self._earlier_pending, self._producer
        if producer is not None and producer.is_intact:
            producer.seal()
            pending = [*pending, *producer.pending()]
        self.await_stored(pending, timeout, patience)
        self._earlier_pending = []

    def await_stored(
        self, pending: list[tuple[int, int, int]], timeout: float | None, patience: Patience | None = None
    ) -> None:
        """Wait until each (slot, epoch, count) is stored. Removes the stored ones from `pending`.

        Raises
        ------
        FlushTimeoutError
            If it took longer than `timeout` seconds, or, without a bound, no collector can be started.
        """
        if not pending:
            return
        progress = Progress("waiting for the collector")

        def is_done() -> bool:
            pending[:] = [entry for entry in pending if not self.is_stored(*entry)]
            return not pending

        def meanwhile() -> None:
            self.watch_collector()
            failure = self._collector.failure() if timeout is None else None
            if failure is not None:
                raise _unstored(self.segment, pending, failure)
            progress.update(Backlog.of(self.segment.ring, pending))

        self.ring_doorbell()
        try:
            if not wait_until(is_done, timeout, meanwhile=meanwhile, patience=patience):
                late = f"the collector was not done after {timeout:g} s"
                raise _unstored(self.segment, pending, self._collector.failure() or late)
        finally:
            progress.close()

    def is_stored(self, slot: int, epoch: int, count: int) -> bool:
        """Say whether the first `count` of a slot are stored. They are if the slot has been freed since `epoch`."""
        line = self.segment.ring.geometry.line_word(slot)
        return self._words[line + Line.EPOCH] != epoch or self.segment.ring.done(slot) >= count

    def watch_collector(self) -> None:
        """Start a collector if there is none. Waits for the collector call this again and again."""
        self._collector.look()

    def watch_while_full(self) -> None:
        """Start a collector if there is none, for a call that waits for space. Another process may start it, too.

        Raises
        ------
        CollectorError
            If no collector could be started for some seconds: nothing would end the wait.
        """
        self.watch_collector()
        failure = self._collector.failure()
        if failure is not None:
            raise CollectorError(f"the ring is full, and {failure}")

    def ring_doorbell(self) -> None:
        """Wake the collector."""
        self._ringer.ring()

    # ---- the producer ----------------------------------------------------------------------------------------------

    def _new_producer(self, old: Producer | None) -> Producer:
        if old is not None and old.pid != os.getpid():
            # Forked in C, where no hook ran.
            self.begin_life()
        # While the interpreter finalises, a frozen thread may hold the lock for ever.
        with threading.RLock() if sys.is_finalizing() else self._creating:
            # A signal handler that interrupts this makes its own producer; the first that is ready stays.
            made = self._producer or make_producer(
                self.segment,
                self._guard,
                self._ringer,
                self.watch_collector,
                self.watch_while_full,
                self._find_scope,
            )
            kept = self._producer or made
            if made is not kept:
                made.close()
            self._producer = kept
            return kept

    def _find_scope(self) -> int:
        if self.scope is None:
            try:
                self.scope = ancestry.inherited_scope(self.config())
            except PermissionError:
                self.scope = 0  # this process has changed its user, and may not read the configuration
        return self.scope

    def enter_scope(self) -> None:
        """Log in this process's own scope from now on, with the descendants that it starts."""
        if self.scope == self.token:
            return
        self.scope = self.token
        ancestry.export(self.token)
        self.renew_producer()

    def renew_producer(self) -> None:
        """Close this process's producer. The next row of any thread makes a new one."""
        with self._creating:
            old, self._producer = self._producer, None
        if old is not None and old.is_intact:
            old.close()
            self._earlier_pending += old.pending()

    def release(self) -> None:
        """Close the producer and give back the shares in the participants lock and the life lock."""
        if self._producer is not None and self._producer.is_intact:
            self._producer.close()
        self.segment.leave()
        self.ring_doorbell()


def _unstored(segment: Segment, pending: list[tuple[int, int, int]], reason: str) -> FlushTimeoutError:
    rows = max(len(pending), Backlog.of(segment.ring, pending).rows)
    return FlushTimeoutError(
        f"up to {rows} rows in {len(pending)} slots are not stored yet: {reason}. They are safe in shared memory. "
        f"The collector's log is in {segment.runtime_directory}."
    )
