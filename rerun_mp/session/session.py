"""This process's part in the session of its process tree: found it or join it, log into it, leave it.

A session is one process tree: one segment, one collector. Its key is drawn from multiprocessing's authkey (from random
bytes where nobody has loaded multiprocessing), or given by RERUN_MP_SESSION, which wins and which `found_or_join`
exports for children that do not have our authkey.

Fork: a child inherits the mapped segment and the share in the session's life, and gets a producer of its own at its
first row. What is inherited of the rest is replaced in `Session._after_fork_in_child`, or, for forks made in C, when
the fork guard is found wiped.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import os
import resource
import sys
import threading
import time
from dataclasses import replace
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.encoding.frames import FrameKind, RecordingKey, Rows, Shape
from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, parse_key, recording_id, segment_name, session_key
from rerun_mp.errors import (
    CollectorError,
    FlushTimeoutError,
    ResourceError,
    RingFullError,
    SessionEndedError,
    SessionError,
)
from rerun_mp.hooks import forking
from rerun_mp.producer.producer import Outcome, Producer
from rerun_mp.session import ancestry, directories, launch
from rerun_mp.session.accounts import read_sinks
from rerun_mp.session.config import RecordingSpec, Scope, SessionConfig
from rerun_mp.session.waiting import Left, Patience, Progress, pause_length, wait_until
from rerun_mp.settings import Policy, Settings
from rerun_mp.shm import leases, segment
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.layout import PRODUCER_BYTES, Geometry, Header, Line, Lock, SessionState
from rerun_mp.shm.transient import close_in_children, no_forks
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from typing_extensions import Buffer

    from rerun_mp.encoding.components import BlobTemplate
    from rerun_mp.producer.open_table import OpenTable, TableRow
    from rerun_mp.producer.repeated_blobs import BlobAppend
    from rerun_mp.session.config import Blueprint, SinkSpec
    from rerun_mp.shm.segment import Segment

__all__ = ["Session", "current", "found_or_join", "read_config"]

CONFIG_NAME = "config.json"
MIN_SLOT_BYTES = 64 * 1024
MIN_SLOTS_OF_FULL_SIZE = 128
LOOK_AGAIN = 0.05
"""Seconds between two looks for a session to join, in a process that has none."""

_guard: leases.ForkGuard | None = None
"""Shared by all sessions of this process; its bytes are wiped in a forked child."""


class Session:
    """A session that this process has joined."""

    def __init__(
        self, key: bytes, joined: Segment, *, is_founder: bool = False, settings: Settings | None = None
    ) -> None:
        global _guard
        if _guard is None:
            _guard = leases.ForkGuard()
        self.key = key
        self.segment = joined
        self._guard = _guard
        self._founder_pid = os.getpid() if is_founder else -1
        self._settings = settings
        self._words = joined.ring.words
        self._ringer = Ringer(joined.nonce)
        """Forked children inherit it, and with it the open semaphore."""
        self._scope: int | None = 0 if is_founder else None
        """Whose sinks take what this process logs, too; None: to be found out. Children inherit it."""
        self._producer: Producer | None = None
        self._begin_life()

    def _begin_life(self) -> None:
        """Set what a process does not share with the one it was forked from."""
        if self._producer is not None:
            self._producer.invalidate()
        self._producer = None
        self._life = object()
        self._creating = threading.RLock()
        self._of_closed: list[tuple[int, int, int]] = []
        """(slot, epoch, count) of what the producer that this process had before its present one left."""
        self._editor: int | None = None
        """The thread that is changing the configuration."""
        self._token = int.from_bytes(os.urandom(7), "little") + 1
        self._must_complete = False

    @property
    def is_founder(self) -> bool:
        """Whether this process founded the session."""
        return self._founder_pid == os.getpid()

    @property
    def settings(self) -> Settings:
        """What this process was told; of the ring, its founder's settings are in force."""
        if self._settings is None:
            self._settings = Settings()
        return self._settings

    def default_recording_id(self, application_id: str) -> str:
        """Return the recording id that every process of the session works out for `application_id`."""
        return recording_id(self.key, application_id)

    # ---- rows ------------------------------------------------------------------------------------------------------

    def append(
        self, shape: Shape, entity_path: bytes, body: Iterable[Buffer], rows: int, *, stream: bool = False
    ) -> bool:
        """Log rows of one shape on one entity. True: they are safe, whatever kills this process. False: dropped.

        `body` is their batch in pieces, which are copied once, into the ring.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the session's policy waits.
        """
        kind = FrameKind.STREAM if stream else FrameKind.ROWS
        pieces = tuple(memoryview(piece).cast("B") for piece in body)
        row = Rows(shape, entity_path, pieces, sum(map(len, pieces)), rows, kind)
        while True:
            producer, life = self._producer, self._life
            try:
                if producer is None or not producer.is_intact:
                    producer = self._new_producer(producer)
                return producer.append(row)
            except (ForkedError, OSError, SessionEndedError):
                if not self._has_another(producer, life):
                    raise

    def append_row(self, row: TableRow) -> tuple[Outcome, OpenTable | None]:
        """Log one row that may lie in a table. Also returns the table that is open for such rows from now on.

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
            except (ForkedError, OSError, SessionEndedError):
                if not self._has_another(producer, life):
                    raise

    def _has_another(self, producer: Producer | None, life: object) -> bool:
        """Say whether a call that began with these fails only because the process has another producer now.

        It has been forked in its middle, and this is the child: its descriptors were closed and its producer is its
        parent's. Or the process has entered a scope meanwhile.
        """
        is_child = life is not self._life or (producer is not None and not producer.is_intact)
        return is_child or self._producer is not producer

    def blob_append(
        self, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any
    ) -> BlobAppend | None:
        """Return what appends blobs like this one. See `blobs.BlobAppend`. None if nothing has been logged yet."""
        producer = self._producer
        if producer is None or not producer.is_intact:
            return None
        return producer.blob_append(template, names, log_time, archetype)

    def seal(self) -> None:
        """Give this process's open slots to the collector."""
        producer = self._producer
        if producer is not None and producer.is_intact:
            producer.seal()

    def flush(self, timeout: float | None = None, patience: Patience | None = None) -> None:
        """Wait until all that this process has logged is in the store.

        Parameters
        ----------
        timeout
            Seconds; None waits for ever.
        patience
            What Ctrl-C is told, if the first one is not to end the wait.

        Raises
        ------
        FlushTimeoutError
            If it took longer. The rows are still safe in shared memory.
        """
        pending, producer = self._of_closed, self._producer
        if producer is not None and producer.is_intact:
            producer.seal()
            pending = [*pending, *producer.pending()]
        self._await_stored(pending, timeout, patience)
        self._of_closed = []

    def _await_stored(
        self, pending: list[tuple[int, int, int]], timeout: float | None, patience: Patience | None = None
    ) -> None:
        """Wait until each (slot, epoch, count) is in the store."""
        if not pending:
            return
        progress = Progress("waiting for the collector")

        def is_done() -> bool:
            pending[:] = [entry for entry in pending if not self._is_stored(*entry)]
            return not pending

        def meanwhile() -> None:
            self.watch_collector()
            progress.update(Left.of(self.segment.ring, pending))

        self.ring_doorbell()
        try:
            if not wait_until(is_done, timeout, meanwhile=meanwhile, patience=patience):
                rows = max(len(pending), Left.of(self.segment.ring, pending).rows)
                raise FlushTimeoutError(
                    f"after {timeout} s up to {rows} rows in {len(pending)} slots are not stored yet. They are safe in "
                    f"shared memory. The collector's log is in {self.segment.runtime_directory}."
                )
        finally:
            progress.close()

    def _is_stored(self, slot: int, epoch: int, count: int) -> bool:
        line = self.segment.ring.geometry.line_word(slot)
        return self._words[line + Line.EPOCH] != epoch or self.segment.ring.done(slot) >= count

    def _new_producer(self, old: Producer | None) -> Producer:
        if old is not None and not old.is_intact:
            # Forked in C, where no hook ran.
            self._begin_life()
        # A thread that finalisation froze may hold it.
        with threading.RLock() if sys.is_finalizing() else self._creating:
            # A signal handler that interrupts the making of one makes its own; the first one to be ready stays.
            made = self._producer or self._register()
            kept = self._producer or made
            if made is not kept:
                made.close()
            self._producer = kept
            return kept

    def _register(self) -> Producer:
        begin = time.monotonic_ns()

        def wait_for_entry(attempt: int) -> None:
            self._check_policy_for_entries(time.monotonic_ns() - begin)
            self._wait_for_space(attempt)

        try:
            return Producer(
                self.segment,
                self._guard,
                self._ringer,
                self._wait_for_space,
                self.watch_collector,
                wait_for_entry=wait_for_entry,
                scope=self._find_scope(),
            )
        except ResourceError:
            raise
        except OSError as error:
            raise RingFullError(
                f"this process cannot register with its session: {error.strerror}; the row was not logged. Raise the "
                "limit that the system names (open files: ulimit -n)."
            ) from error

    def _find_scope(self) -> int:
        if self._scope is None:
            self._scope = ancestry.inherited_scope(self.config())
        return self._scope

    def _enter_scope(self) -> None:
        """Have what this process and its descendants log from now on go to its own sinks, too."""
        if self._scope == self._token:
            return
        self._scope = self._token
        ancestry.export(self._token)
        self.renew_producer()

    def renew_producer(self) -> None:
        """Begin anew as a producer; what threads are about to log they log by the new one."""
        with self._creating:
            old, self._producer = self._producer, None
        if old is not None and old.is_intact:
            old.close()
            self._of_closed += old.pending()

    def _check_policy_for_entries(self, waited_ns: int) -> None:
        """Follow the policy where all entries of the producers table are taken. Without one, nothing can be counted."""
        timeout_ns = self._words[Header.BLOCK_TIMEOUT_NS]
        if self._words[Header.POLICY] != Policy.BLOCK or (timeout_ns and waited_ns >= timeout_ns):
            raise RingFullError(
                f"{self.segment.ring.geometry.producers} processes log at this moment, which is the session's limit; "
                "this row was not logged. Raise the limit (RERUN_MP_PRODUCERS)."
            )

    def _wait_for_space(self, attempt: int) -> None:
        """Sleep once before the next attempt; called by writers that found no space."""
        if attempt % 20 == 0:
            self.watch_collector()
        time.sleep(pause_length(attempt))
        if not self._words[Header.FREE_SLOTS]:
            wait_until(lambda: bool(self._words[Header.FREE_SLOTS]), 0.1)

    def watch_collector(self) -> None:
        """Start a collector if there is none. Whoever waits for one calls this again and again."""
        try:
            launch.ensure_collector(self.segment)
        except CollectorError:
            # Out of processes, for now: the next look tries again, and the wait's own bound ends it.
            return
        except OSError as error:
            # Out of descriptors, likewise. What has become of the segment is said by those who need it.
            if isinstance(error, ResourceError):
                raise

    # ---- recordings and sinks --------------------------------------------------------------------------------------

    def config(self) -> SessionConfig:
        """Return what the session's processes have told the collector so far."""
        return read_config(self.segment)

    def register(self, key: RecordingKey, *, make_default: bool, start_time_ns: int | None) -> bool:
        """Make a recording known. True if it is new to the session; only then does its start time count.

        The first default stays, unless the process that founded the session sets another.
        """
        is_new = False

        def edit(config: SessionConfig) -> SessionConfig:
            nonlocal is_new
            is_new = config.recording(key) is None
            default = key if make_default and (config.default is None or self.is_founder) else config.default
            if is_new:
                sinks = tuple(self._claimed(sink, {}) for sink in config.default_sinks_of(key))
                spec = RecordingSpec(*key, sinks, start_time_ns=start_time_ns, founder=self._owner)
                config = config.with_recording(spec)
            return replace(config, default=default)

        self._edit(edit)
        return is_new

    def set_default_sinks(self, sinks: Sequence[SinkSpec]) -> None:
        """Give every recording that is begun from now on these sinks, for all that is logged on it."""
        self._edit(lambda config: replace(config, default_sinks=tuple(sinks)))
        self._must_complete = True

    def set_sinks(self, key: RecordingKey, sinks: Sequence[SinkSpec]) -> None:
        """Replace the sinks of a recording that this process set.

        Those of the session's founder, and of the process that began the recording, take all of it. Those of another
        process take what it and its descendants log from now on, in addition.

        A barrier: what was logged before, by whatever process, goes to the old sinks. Returns when the files that this
        process had set are complete.

        Raises
        ------
        FlushTimeoutError
            If the old sinks take longer than the session's exit timeout.
        """
        owner, timeout = self._owner, self.settings.exit_timeout
        replaced = self._own_sinks(key)
        given = {sink.target for sink in sinks}
        if any(sink.checkpoints and sink.target in given for sink in replaced):
            # Complete for readers, and then given again: to be written anew.
            self.set_sinks(key, ())
            replaced = []
        elif replaced:
            self.deliver(timeout)

        needs_scope = False

        def edit(config: SessionConfig) -> SessionConfig:
            nonlocal needs_scope
            spec = config.recording(key) or RecordingSpec(*key, founder=owner)
            mine = [replace(sink, owner=owner) for sink in sinks]
            others = [sink for sink in spec.sinks if sink.owner != owner]
            needs_scope = any(not spec.is_whole(sink) for sink in mine)
            # Where the whole recording goes, ours does, too.
            wholes = {(sink.kind, sink.target) for sink in others if spec.is_whole(sink)}
            mine = [sink for sink in mine if (sink.kind, sink.target) not in wholes]
            if needs_scope:
                config = self._with_scope(config)
            else:
                taken_over = {(sink.kind, sink.target) for sink in mine}
                others = [sink for sink in others if (sink.kind, sink.target) not in taken_over]
            known = [sink for one in config.recordings if one.key != key for sink in one.sinks]
            claims = {sink.target: sink.claim for sink in (*known, *others, *replaced)}
            sinks_now = (*others, *(self._claimed(sink, claims) for sink in mine))
            return config.with_recording(replace(spec, sinks=sinks_now))

        revision = self._edit(edit)
        if needs_scope:
            self._enter_scope()
        self._must_complete = self._must_complete or bool(sinks)
        if any(sink.kind == "file" for sink in replaced):
            self._await_applied(revision, timeout)

    def _with_scope(self, config: SessionConfig) -> SessionConfig:
        if config.around(self._token):
            return config
        parent = ancestry.inherited_scope(config) if self._scope is None else self._scope
        return replace(config, scopes=(*config.scopes, Scope(self._token, parent, ancestry.this_process())))

    @property
    def _owner(self) -> int:
        """Whose the sinks are that this process sets."""
        return 0 if self.is_founder else self._token

    def _own_sinks(self, key: RecordingKey) -> list[SinkSpec]:
        spec = self.config().recording(key)
        return [sink for sink in spec.sinks if sink.owner == self._owner] if spec is not None else []

    def checkpoint(self, key: RecordingKey) -> None:
        """Have the files of a recording that this process set complete for readers; what comes later is added to them.

        Raises
        ------
        FlushTimeoutError
            If that takes longer than the session's exit timeout.
        """
        timeout = self.settings.exit_timeout
        self.deliver(timeout)
        if not any(sink.kind == "file" for sink in self._own_sinks(key)):
            return

        def edit(config: SessionConfig) -> SessionConfig:
            spec = config.recording(key) or RecordingSpec(*key)
            sinks = (
                replace(sink, checkpoints=sink.checkpoints + 1)
                if sink.kind == "file" and sink.owner == self._owner
                else sink
                for sink in spec.sinks
            )
            return config.with_recording(replace(spec, sinks=tuple(sinks)))

        self._await_applied(self._edit(edit), timeout)

    def is_editing(self) -> bool:
        """Say whether the calling thread is in the middle of changing the configuration: a destructor may ask."""
        return self._editor == threading.get_ident()

    def send_blueprint(self, key: RecordingKey, blueprint: Blueprint) -> None:
        """Send a blueprint to all sinks of a recording, those that are set later too, in place of the one before."""

        def edit(config: SessionConfig) -> SessionConfig:
            spec = config.recording(key) or RecordingSpec(*key)
            return config.with_recording(replace(spec, blueprint=blueprint))

        self._edit(edit)

    def _claimed(self, sink: SinkSpec, claims: Mapping[str, tuple[int, int, int] | None]) -> SinkSpec:
        """Take the path of a file that the session does not write yet."""
        if sink.kind != "file" or (os.path.exists(sink.target) and not os.path.isfile(sink.target)):
            return sink
        if sink.target in claims:
            return replace(sink, claim=claims[sink.target])
        return replace(sink, claim=directories.claim_file(sink.target, self.segment.nonce.hex()[:8]))

    def deliver(self, timeout: float) -> None:
        """Have what anybody has logged so far with the sinks that are set, as far as they are files.

        Raises
        ------
        FlushTimeoutError
            If that takes longer.
        """
        # A collector that has yet to start must not learn of the new sinks before it has known the old ones.
        self._await_applied(self._words[Header.CONFIG_REVISION], timeout)
        self.seal()
        self._await_stored(self.segment.ring.pending(), timeout)

    def _await_applied(self, revision: int, timeout: float) -> None:
        """Wait until a configuration is in force: its files open, those that it no longer names complete."""
        self.ring_doorbell()
        if not wait_until(
            lambda: self._words[Header.CONFIG_APPLIED] >= revision, timeout, meanwhile=self.watch_collector
        ):
            raise FlushTimeoutError(
                f"after {timeout} s the collector has not opened and completed the files that it should. It goes on; "
                f"its log is in {self.segment.runtime_directory}."
            )

    def _edit(self, edit: Callable[[SessionConfig], SessionConfig]) -> int:
        """Replace the configuration file and return its revision."""
        deadline = time.monotonic() + 10
        attempt = 0
        while True:
            with (
                _named("the session's configuration cannot be changed"),
                no_forks(),
                FileIO(self.segment.open(), "r+") as file,
            ):
                if leases.try_lock(close_in_children(file), Lock.CONFIG):
                    self._editor = threading.get_ident()
                    try:
                        config = edit(self.config())
                        revision = self._words[Header.CONFIG_REVISION] + 1
                        write_config(self.segment, replace(config, revision=revision))
                        self._words[Header.CONFIG_REVISION] = revision
                    finally:
                        self._editor = None
                    break
            if time.monotonic() > deadline:
                raise SessionError(
                    "another process of the session has held the configuration lock for 10 s; is it stopped (SIGSTOP)?"
                )
            time.sleep(pause_length(attempt))
            attempt += 1
        self.ring_doorbell()
        return revision

    def ring_doorbell(self) -> None:
        """Wake the collector."""
        self._ringer.ring()

    # ---- end -------------------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """End this process's part: on its normal way out, or to let the session end early.

        A process that set a sink waits, bounded, until its rows are stored and, if it is the last, its files are
        complete, so that `python train.py && rerun out.rrd` sees the whole file.
        """
        timeout = self.settings.exit_timeout
        begin = time.monotonic()
        patience = Patience("what was logged is being written; press Ctrl-C again to leave that to the collector")
        self.seal()
        if self._must_complete:
            try:
                self.flush(timeout, patience)
            except FlushTimeoutError as error:
                sys.stderr.write(f"rerun_mp: {error}\n")
            except KeyboardInterrupt:
                self._must_complete = False
                sys.stderr.write(f"rerun_mp: the collector goes on; its log is in {self.segment.runtime_directory}\n")
        if self._producer is not None and self._producer.is_intact:
            self._producer.close()
        if self.segment.participants is not None:
            self.segment.participants.release()
        self.ring_doorbell()
        if self._must_complete and not self._others_remain():
            self._await_files(timeout - (time.monotonic() - begin), patience)
        if self._must_complete or self.is_founder:
            self._sum_up()

    def _sum_up(self) -> None:
        """Say in one line what was dropped, and what lies elsewhere than it should. Nothing, if nothing."""
        from rerun_mp.session import accounts

        dropped = accounts.published_totals(self.segment)
        if self._words[Header.SESSION_STATE] < SessionState.FILES_COMPLETE:
            try:
                dropped = accounts.totals(accounts.read_accounts(self.segment)) | dropped
            except OSError:
                pass  # the session has ended meanwhile, and said so in the header before
        if dropped:
            why = "; ".join(f"{rows} because {reason.explanation}" for reason, rows in sorted(dropped.items()))
            sys.stderr.write(f"rerun_mp: {dropped.total()} rows were dropped: {why}.\n")
        incomplete = self._words[Header.INCOMPLETE_FILES]
        if incomplete:
            sys.stderr.write(
                f"rerun_mp: {incomplete} files could not be completed, because their disks are full; what they lack "
                f"lies in {self.segment.spool_directory}. Make room, and join the parts there with `rerun rrd merge`.\n"
            )

    def _others_remain(self) -> bool:
        try:
            descriptor = self.segment.open()
        except (OSError, SessionError):
            return False
        try:
            # A collector that ends the session holds it too, but exclusively.
            return leases.is_shared(descriptor, Lock.PARTICIPANTS)
        finally:
            os.close(descriptor)

    def _await_files(self, timeout: float, patience: Patience) -> None:
        """Wait until the files are complete, or a child that had not joined yet does: then we are not the last."""
        progress = Progress("completing the recording's files")
        somebody_joined = False

        def meanwhile() -> None:
            nonlocal somebody_joined
            somebody_joined = self._others_remain()
            self.watch_collector()
            progress.update(self._left_to_write())

        def is_over() -> bool:
            return somebody_joined or self._words[Header.SESSION_STATE] >= SessionState.FILES_COMPLETE

        try:
            if not wait_until(is_over, timeout, meanwhile=meanwhile, patience=patience):
                sys.stderr.write(
                    f"rerun_mp: the collector is still completing files after {timeout:.0f} s; it goes on without us. "
                    f"Its log is in {self.segment.runtime_directory}.\n"
                )
        except KeyboardInterrupt:
            sys.stderr.write(f"rerun_mp: the collector goes on; its log is in {self.segment.runtime_directory}\n")
        finally:
            progress.close()

    def _left_to_write(self) -> str | Left:
        left = [entry for entry in self.segment.ring.pending() if not self._is_stored(*entry)]
        if left:
            return Left.of(self.segment.ring, left)
        behind = max((sink.behind_rows for sink in read_sinks(self.segment)), default=0)
        return f"viewers have {behind:,} rows to get" if behind else "all is stored; the files get their ends"


# ---- the process's session -----------------------------------------------------------------------------------------

_session: Session | None = None
"""The session of this process. A forked child keeps it and begins a life of its own in it."""
_left = False
"""Whether this process has left its session on its way out. A forked child has not."""
_next_look = 0.0
"""When a process without a session looks for one again, by the monotonic clock; never, if it was refused one."""
_joining = threading.RLock()
"""Guards `_session`. New in a forked child."""


def current() -> Session | None:
    """Return this process's session, joining that of its tree if there is one. None outside of a session."""
    if _session is not None:
        return _session
    return _join_existing()


def found_or_join(settings: Settings | None = None) -> Session:
    """Return this process's session; found it, with these settings, if the tree has none.

    Raises
    ------
    SharedMemoryError
        If there is no room in /dev/shm.
    PrivacyError
        If what lies at the session's name is somebody else's.
    ResourceError
        If the system refuses something else, such as another open file.
    SessionError
        If the session there is neither alive nor goes away.
    """
    with _joining:
        if _session is not None:
            return _session
        key = _key(may_create=True)
        assert key is not None
        with _named("the session cannot be founded or joined"):
            return _remember(_create_or_attach(key, settings or Settings()))


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """Say what could not be done when the system refuses something."""
    try:
        yield
    except (ResourceError, FlushTimeoutError):
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ResourceError(
            f"{what}: {error.strerror}{where}. Make room there, or raise the limit that the system names (ulimit -a)."
        ) from error


def _join_existing() -> Session | None:
    global _next_look
    now = time.monotonic()
    if _left or now < _next_look:
        return None
    with _joining:
        if _session is not None:
            return _session
        _next_look = now + LOOK_AGAIN
        key = _key(may_create=False)
        if key is None:
            return None
        try:
            joined = segment.attach(_path(key))
            return None if joined is None else _remember(Session(key, joined))
        except ResourceError as error:
            # Said once: what lies there is no session of ours, and will not become one while we look.
            _next_look = math.inf
            sys.stderr.write(f"rerun_mp: {error} This process logs nowhere until it calls rerun_mp.init().\n")
            return None


def _create_or_attach(key: bytes, settings: Settings) -> Session:
    deadline = time.monotonic() + 10
    attempt = 0
    while True:
        joined = segment.attach(_path(key))
        if joined is not None:
            return Session(key, joined, settings=settings)
        nonce = os.urandom(16)
        # Before there is anything for others to see: without its directories a session has no collector.
        with directories.bases_for_new_session() as (runtime_base, spool_base):
            joined = segment.create(
                _path(key),
                _geometry(settings),
                nonce,
                runtime_directory=os.path.join(runtime_base, nonce.hex()[:16]),
                spool_directory=os.path.join(spool_base, nonce.hex()[:16]),
                policy=settings.policy,
                block_timeout_ns=int((settings.block_timeout or 0) * 1e9),
                flush_tick_ns=int(settings.flush_tick * 1e9),
                spool_bytes=settings.spool_bytes,
            )
        if joined is not None:
            founded = Session(key, joined, is_founder=True, settings=settings)
            if settings.figures is not None:
                founded._edit(lambda config: replace(config, figures=settings.figures))
            return founded
        # There was one a moment ago, and it is ending: its name goes away as soon as it has been renamed.
        if time.monotonic() > deadline:
            raise SessionError(
                f"the session at {_path(key)} neither lives nor ends; remove that file if nobody uses it"
            )
        time.sleep(pause_length(attempt))
        attempt += 1


def _remember(session: Session) -> Session:
    global _session, _left
    os.environ[ENVIRONMENT_VARIABLE] = session.key.hex()
    _session, _left = session, False
    _leave_on_exit()
    try:
        launch.ensure_collector(session.segment)
    except (CollectorError, OSError) as error:
        # Rows wait in shared memory, and who waits for room there, or logs on, tries again.
        sys.stderr.write(f"rerun_mp: {error}\n")
    return session


def _geometry(settings: Settings) -> Geometry:
    free = os.statvfs(segment.DIRECTORY)
    room = free.f_bavail * free.f_frsize // 2
    # A limit for files (ulimit -f) counts here, too: half of it, so that the tables have room beside the slots.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY:
        room = min(room, limit // 2)
    ring_bytes, slot_bytes = min(settings.ring_bytes, room), settings.slot_bytes
    # A small ring needs slots for everybody more than it needs large ones.
    while slot_bytes > MIN_SLOT_BYTES and ring_bytes // slot_bytes < MIN_SLOTS_OF_FULL_SIZE:
        slot_bytes //= 2
    slots = max(segment.MINIMUM_SLOTS, ring_bytes // slot_bytes)
    # A small /dev/shm, as in a container, also gets small tables.
    producers = min(settings.producers, max(64, room // 4 // PRODUCER_BYTES))
    return Geometry(slot_bytes, slots, producers)


def _key(*, may_create: bool) -> bytes | None:
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if text is not None:
        key = parse_key(text)
        if key is not None:
            return key
        if may_create:
            sys.stderr.write(f"rerun_mp: {ENVIRONMENT_VARIABLE} is not a session's key (64 hex digits); ignored\n")
    if "multiprocessing.process" not in sys.modules:
        # Not started by multiprocessing, then. What it will start finds the key in its environment; loading
        # multiprocessing only for its key would double what `init` costs.
        return session_key(os.urandom(32)) if may_create else None
    from multiprocessing.process import current_process

    return session_key(bytes(current_process().authkey))


def _path(key: bytes) -> str:
    return os.path.join(segment.DIRECTORY, segment_name(key))


def read_config(joined: Segment) -> SessionConfig:
    """Read a session's configuration file; what nobody has written yet is empty."""
    return read_config_in(joined.runtime_directory, joined.spool_directory)


def read_config_in(*places: str) -> SessionConfig:
    """Read the configuration file in the first of these directories that has one."""
    for directory in places:
        try:
            with open(os.path.join(directory, CONFIG_NAME), "rb") as file:
                return SessionConfig.from_json(file.read())
        except FileNotFoundError:
            continue
    return SessionConfig()


def write_config(joined: Segment, config: SessionConfig) -> None:
    """Replace a session's configuration file. Under the CONFIG lock.

    It lies in both directories, because a logout removes the runtime directory while the session goes on.
    """
    text = config.to_json()
    for directory in (joined.spool_directory, joined.runtime_directory):
        directories.replace_file(directory, CONFIG_NAME, text)


# ---- exit and fork -------------------------------------------------------------------------------------------------

_exit_pid = 0
"""The process in which the way out is registered."""


def _leave_on_exit() -> None:
    global _exit_pid
    if _exit_pid != os.getpid():
        _exit_pid = os.getpid()
        atexit.register(_leave_at_exit)


def _leave_at_exit() -> None:
    """Leave after multiprocessing has ended its daemons and joined the others: then we may be the last."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not util._exiting:
        util.Finalize(None, _leave_now, exitpriority=-100)
    else:
        _leave_now()


def _leave_now() -> None:
    global _session, _left
    session = _session
    if session is None or _left or _exit_pid != os.getpid():
        return
    # From here on calls are no-ops, as rerun's are after its own shutdown.
    _left = True
    _session = None
    session.leave()


def _after_fork_in_child() -> None:
    global _joining, _left, _next_look
    _joining = threading.RLock()
    _left = False
    if _next_look != math.inf:
        _next_look = 0.0
    if _session is not None:
        _session._begin_life()


os.register_at_fork(after_in_child=_after_fork_in_child)
forking.wait_for_imports_before_forks()
