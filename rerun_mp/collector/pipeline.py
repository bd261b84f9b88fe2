"""The steps of a sweep in the collector: copy from the ring, build chunks, store, flush, mark as done, wake live sinks.

The worker and the end of the session both drain through one `Pipeline`. Used by the worker's main thread only.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.collector.drain.chunks import BuiltChunks, ChunkBatch
from rerun_mp.collector.drain.quarantine import Quarantine
from rerun_mp.collector.drain.refusals import count_as_damaged
from rerun_mp.collector.drain.sweep import Sweep, Sweeper
from rerun_mp.collector.messages import say
from rerun_mp.collector.outputs import Outputs
from rerun_mp.collector.reporting.dead_producers import DeadProducers
from rerun_mp.collector.reporting.figure_logger import FigureLogger
from rerun_mp.collector.reporting.loss_reports import LossReports
from rerun_mp.collector.reporting.process_rows import ProcessRows
from rerun_mp.collector.reporting.sink_statuses import SinkStatuses
from rerun_mp.collector.reporting.system_logger import SystemLogger
from rerun_mp.collector.snapshots import Snapshots
from rerun_mp.errors import RerunMpError
from rerun_mp.session import directories
from rerun_mp.session.config import SessionConfig
from rerun_mp.session.config_file import find_config, is_config_gone, restore_config
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Attention, Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

if TYPE_CHECKING:
    from rerun_mp.collector.node_link import NodeLink

__all__ = ["Pipeline", "Prepared"]


RESTORE_SECS = 0.5
"""Seconds from the first look that misses a directory or file of the session until it is put back."""
RETRY_SECS = 1.0
"""Seconds until a configuration is tried again that could not be applied because a disk is full."""
MIN_CHUNK_BYTES_AHEAD = 64 << 10
"""Average bytes of a full sweep's chunks from which on the next sweep follows at once."""
MIN_ROW_BYTES_AHEAD = 1 << 10
"""The same of its rows."""


class Prepared(NamedTuple):
    """A sweep that has been copied and has not begun, and its chunks."""

    sweep: Sweep
    chunks: BuiltChunks
    is_repeated: bool = False
    """Whether a dead collector has begun the sweep, and may have stored some of its chunks."""

    @property
    def may_gather(self) -> bool:
        """Whether a rest after the sweep is worth it: it lets more small rows gather for each small chunk.

        The rest ends when the ring is half full.
        """
        rows = sum(self.chunks.good_rows.values())
        has_small_chunks = self.sweep.num_bytes < MIN_CHUNK_BYTES_AHEAD * len(self.chunks.chunks)
        return has_small_chunks and self.sweep.num_bytes < MIN_ROW_BYTES_AHEAD * rows


class Pipeline:
    """Drains one session."""

    def __init__(self, segment: Segment, descriptor: int) -> None:
        self.segment = segment
        self.descriptor = descriptor
        """The descriptor with the worker's lock."""
        self.words = segment.ring.words
        self.sweeper = Sweeper(segment)
        self.outputs = Outputs(segment)
        self.dead_producers = DeadProducers(segment, descriptor, self.sweeper)
        self.loss_reports = LossReports(segment, self.outputs, self.dead_producers)
        self._figure_logger = FigureLogger(self.outputs, self.sweeper)
        self._process_rows = ProcessRows(segment, self.outputs)
        self._system_logger = SystemLogger(self.outputs, segment)
        self.snapshots = Snapshots(segment, self.outputs)
        self.node_link: NodeLink | None = None
        """The link to the head, if there is one."""
        self._sink_statuses = SinkStatuses(segment, self.outputs)
        self._quarantine = Quarantine(
            segment.runtime_directory, self.sweeper.progress.done, segment.ring.geometry.slots
        )
        self.state: int = SessionState.LIVE
        """State of the session. The word in the header is a copy for other processes, which may damage it."""
        self._has_participants = False
        """Whether any participant lived at the last look."""
        self.config = SessionConfig()
        """The configuration in force."""
        self._pending = -1, 0.0
        """The configuration that could not be applied wholly, and when (monotonic clock) it is tried again."""
        self._gone_since: float | None = None
        """When the first look missed one of the session's directories and files (monotonic clock)."""
        self.has_timers = False
        """Whether some work is due at a certain time, also if no row comes."""

    @property
    def is_urgent(self) -> bool:
        """Whether a live sink waits for rows, or some work is due at a certain time."""
        return self.has_timers or self.outputs.has_live()

    def set_state(self, state: int) -> None:
        """Set the state of the session, here and in the header."""
        self.state = self.words[Header.SESSION_STATE] = state

    def apply_config(self, *, is_first: bool = False) -> None:
        """Read the configuration if it has changed, or if it `is_first`, and bring the sinks to it."""
        if is_first:
            self._has_participants = leases.is_held(self.descriptor, Lock.PARTICIPANTS)
        revision = self.words[Header.CONFIG_REVISION]
        if is_first or self.is_config_due():
            is_applied = True
            try:
                config = find_config(self.segment) or self._removed_config(revision, is_first=is_first)
            except RerunMpError as error:
                say(f"worker {os.getpid()}: {error}")
            except OSError as error:
                if is_first:
                    raise
                # No descriptor is free. The configuration is not in force yet, and the next look reads it again.
                say(f"worker {os.getpid()}: {error}")
                return
            else:
                self.config = config
                is_applied = self.outputs.apply(config)
                self.has_timers = config.has_timers
                self._figure_logger.apply(config)
                self._process_rows.node = self.loss_reports.node = config.node
                self._system_logger.apply(config)
                self.snapshots.apply(config)
                self._apply_pauses(config)
                if config.node is not None and config.node.parts and self.node_link is None:
                    from rerun_mp.collector.node_link import NodeLink  # other sessions need not load it

                    self.node_link = NodeLink(config.node, self.segment.nonce, self.outputs)
            if is_applied:
                self.words[Header.CONFIG_APPLIED] = revision
            else:
                self._pending = revision, time.monotonic() + RETRY_SECS

    def is_config_due(self) -> bool:
        """Whether there is a configuration to apply: a new one, or one whose last attempt was some time ago."""
        revision = self.words[Header.CONFIG_REVISION]
        pending, due = self._pending
        return revision != self.words[Header.CONFIG_APPLIED] and (revision != pending or time.monotonic() >= due)

    def _removed_config(self, revision: int, *, is_first: bool) -> SessionConfig:
        """Return the configuration to use after both copies of the present one have been removed: the one before.

        A worker that begins after the removal knows none. It keeps the rows as a recovery does.
        """
        say(f"worker {os.getpid()}: {self.segment.runtime_directory} has been removed, and so has the spool")
        known = SessionConfig(rescue_directory=directories.rescue_base()) if is_first else self.config
        return replace(known, revision=revision)

    def _restore_directories(self) -> None:
        """Put spool and accounts back if they have been removed, and the configuration if both copies have been.

        The next life of the collector needs the spool, and processes that start later the configuration. A program that
        removes the directories now would fail if it found a new file in one of them, so this waits a moment.
        """
        if not self.config.revision:
            return
        if not (
            self.outputs.spool_hold.is_gone
            or is_config_gone(self.segment)
            or self.dead_producers.ended.is_gone
            or self.loss_reports.are_store_drops_gone
        ):
            self._gone_since = None
            return
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since < RESTORE_SECS:
            return
        try:
            self.outputs.spool_hold.restore()
            if restore_config(self.segment, self.config):
                say(f"worker {os.getpid()}: {self.segment.runtime_directory} had been removed; it is there again")
            self.dead_producers.ended.restore()
            self.loss_reports.restore_store_drops()
        except (OSError, RerunMpError) as error:
            say(f"worker {os.getpid()}: {error}")

    def _apply_pauses(self, config: SessionConfig) -> None:
        """Tell the producers whether a recording is paused."""
        is_paused = any(spec.is_paused for spec in config.recordings)
        self.words[Header.PAUSED] = config.pauses if is_paused else 0
        others = self.words[Header.ATTENTION] & ~Attention.PAUSED
        self.words[Header.ATTENTION] = others | (Attention.PAUSED if is_paused else 0)

    def drain_once(self) -> bool:
        """Sweep once and wait for the store. Returns whether there was anything."""
        self.apply_config()
        prepared = self.collect()
        self.forward(prepared)
        self._process_rows.log()
        self.dead_producers.clear_up()
        self.sweeper.freer.free_done()
        return prepared is not None

    def report(self) -> None:
        """Clear up after dead producers, and write all reports that are due."""
        self._process_rows.log()
        self._has_participants = leases.is_held(self.descriptor, Lock.PARTICIPANTS)
        self._restore_directories()
        self.outputs.rotate_if_due(has_participants=self._has_participants)
        self.dead_producers.clear_up()
        self.loss_reports.report()
        self._figure_logger.log_if_due()
        self._system_logger.log_if_due()
        if self.node_link is not None:
            self.node_link.report()
        self.snapshots.report()
        self._sink_statuses.write_if_changed()

    def collect(self, *, resume: bool = False, after: Sweep | None = None) -> Prepared | None:
        """Copy new rows and group them into chunks. Parameters as in `Sweeper.collect`."""
        if self._quarantine.is_careful(self.sweeper.progress.done):
            return self._collect_carefully(resume=resume)
        sweep = self.sweeper.collect(resume=resume, after=after)
        if self.sweeper.new_owners:
            self.dead_producers.watch(self.sweeper.new_owners)
            self._process_rows.note(self.sweeper.new_owners)
        return None if sweep is None else self._build(sweep, resume)

    def forward(self, prepared: Prepared | None, *, looks_ahead: bool = False) -> Prepared | None:
        """Bring a sweep into the store, make it done, and show it to the live sinks: some of them may get it before.

        With `looks_ahead`, and if there may be more rows, the next sweep is copied and returned while rerun's threads
        write this one.
        """
        if prepared is None:
            return None
        sweep, built, is_repeated = prepared
        # A sink that was set before a row was logged must get the row, even if it was set while the sweep was copied.
        self.apply_config()
        if not is_repeated:
            self.outputs.rotate_if_due(has_participants=self._has_participants)
        self.sweeper.begin(sweep)
        self.outputs.begin(sweep.number, built.chunks)
        is_careful = self._quarantine.is_careful(self.sweeper.progress.done)
        refused = self._store_carefully(built) if is_careful else self.outputs.store(built.chunks, is_shown_ahead=True)
        for chunk in refused:
            count_as_damaged(chunk, sweep, built)
        is_busy = looks_ahead and not is_careful and self._is_busy(prepared)
        ahead = self.collect(after=sweep) if is_busy else None
        self.outputs.flush()
        self.loss_reports.save_store_drops(sweep.number)
        self._figure_logger.count(built)
        self.sweeper.complete(sweep, built)
        self.outputs.show(built.chunks, is_before_rest=ahead is None)
        return ahead

    def _is_busy(self, prepared: Prepared) -> bool:
        """Return whether the next sweep must follow a sweep in flight without a rest."""
        sweep, freer = prepared.sweep, self.sweeper.freer
        if not prepared.may_gather:
            return sweep.is_full or freer.is_half_full()
        # Small chunks cost the same with more rows. If no sink waits, rows gather until the ring is half full again.
        return freer.is_half_full() if self.is_urgent else freer.is_half_full(sweep.stops)

    def _collect_carefully(self, *, resume: bool) -> Prepared | None:
        """Collect slot by slot, each named in the quarantine's record before it is touched."""

        def may_read(slot: int, epoch: int) -> bool:
            return self._quarantine.allows(f"slot {slot} of epoch {epoch}")

        sweep = self.sweeper.collect(resume=resume, may_read=may_read)
        if sweep is None:
            self._quarantine.clear_suspect()
            return None
        for frames in sweep.taken:
            may_read(frames.slot, frames.epoch)
            self.outputs.build([frames], [])
        for rows in sweep.rows:
            may_read(rows.slot, rows.epoch)
            self.outputs.build([], [rows])
        self._quarantine.clear_suspect()
        return self._build(sweep, resume)

    def _build(self, sweep: Sweep, is_repeated: bool) -> Prepared:
        """Group the rows of a sweep into chunks."""
        built = self.outputs.build(sweep.taken, sweep.rows)
        sweep.free_values()
        return Prepared(sweep, built, is_repeated)

    def _store_carefully(self, built: BuiltChunks) -> list[ChunkBatch]:
        """Store chunk by chunk, each named in the quarantine's record, and return those that are left out."""
        refused: list[ChunkBatch] = []
        for chunk in built.chunks:
            name = f"{chunk.chunk_id} of {chunk.num_rows} rows of {chunk.entity_path!r}"
            if self._quarantine.allows(name):
                refused += self.outputs.store([chunk])
                self.outputs.flush()
            else:
                refused.append(chunk)
        self._quarantine.clear_suspect()
        return refused
