"""The worker: drains the ring into stores and live sinks until the session's process tree is gone.

One thread sweeps; each live sink has its own. It holds the WORKER byte. Killed at any point, its successor goes on
where it was: see `sweep` for the rows, `ending` for the end.

SIGINT and SIGTERM mean: drain. That is what it does all the time; they only wake it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time
from typing import NamedTuple

from rerun_mp.collector.drain.frame_chunks import BuiltChunks, ChunkBatch
from rerun_mp.collector.drain.refusals import refuse
from rerun_mp.collector.drain.sweep import Sweep, Sweeper
from rerun_mp.collector.drain.trial import Trial
from rerun_mp.collector.ending import end_session, is_over, remove_session
from rerun_mp.collector.guard import find_segment, outlive_signals
from rerun_mp.collector.messages import say
from rerun_mp.collector.outputs import Outputs
from rerun_mp.collector.reporting.producers_watch import ProducersWatch
from rerun_mp.collector.reporting.reports import Reports
from rerun_mp.collector.reporting.session_figures import Figures
from rerun_mp.errors import RerunMpError
from rerun_mp.session import collector_start
from rerun_mp.session.config_file import read_config
from rerun_mp.session.sink_status import SinkStatus, write_sinks
from rerun_mp.shm import introductions as births
from rerun_mp.shm import leases
from rerun_mp.shm.doorbell import Bell
from rerun_mp.shm.layout import Attention, Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["Worker", "main"]

MAX_TICK = 1.0
"""Seconds between two sweeps under load at most, whatever the session's settings say."""
REST_SHARE = 3.0
"""Rest after a sweep, as a multiple of the time that it took."""
MAX_REST = 0.25
"""Seconds of such a rest at most."""
MIN_NAP = 0.005
"""Seconds between two looks at the room that is left, while resting."""
IDLE_POLL = 0.25
"""Seconds that an idle worker sleeps at most: a missed ring costs no more, and idling 0.1 % of a core."""
WATCH_EVERY = 0.1
"""Seconds between two looks at who has died."""
GUARD_EVERY = 1.0
STATUS_EVERY = 0.2
OFFER_EVERY = 5.0
"""Seconds between two attempts to use slots for which there was no memory."""
ALREADY_RUNNING = 3


def main(path: str, nonce: str) -> int:
    """Run the session's worker. Returns 0 when the session has ended."""
    outlive_signals()
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    descriptor = joined.open()
    if not leases.try_lock(descriptor, Lock.WORKER):
        return ALREADY_RUNNING
    # Whoever had the lease until now may have ended the session, or died in the middle of that.
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    collector_start.own_mailbox = births.inherited_mailbox(joined.runtime_directory)
    words = joined.ring.words
    words[Header.WORKER_PID] = os.getpid()
    joined.ring.count_up(Header.WORKER_LIVES, 1)
    os.chdir("/")
    if words[Header.SESSION_STATE] >= SessionState.REMOVING:
        remove_session(joined, Bell(joined.nonce))
        return 0
    gc.collect()
    gc.freeze()  # what has been imported stays, and need not be looked at again
    Worker(joined, descriptor).run(is_ending=joined.path == joined.ending_path)
    return 0


class Prepared(NamedTuple):
    """A sweep that has been copied and has not begun, and its chunks."""

    sweep: Sweep
    chunks: BuiltChunks


class Worker:
    """Drains one session."""

    def __init__(self, joined: Segment, descriptor: int) -> None:
        self.segment = joined
        self.descriptor = descriptor
        self.words = joined.ring.words
        self.sweeper = Sweeper(joined)
        self.outputs = Outputs(joined)
        self.bell = Bell(joined.nonce)
        self.watch = ProducersWatch(joined, descriptor, self.sweeper)
        self.reports = Reports(joined, self.outputs, self.watch)
        self.figures = Figures(self.outputs, self.sweeper)
        self._said_sinks: list[SinkStatus] = []
        self._next_status = 0.0
        self._tick = min(joined.ring.words[Header.FLUSH_TICK_NS] / 1e9, MAX_TICK)
        """Seconds between two sweeps under load: larger chunks, and less disturbance of the writers' caches."""
        self._gone_since: float | None = None
        self.state = SessionState.LIVE
        """How far the session is. The header's word is for others, and might be damaged."""
        self._trial = Trial(joined.runtime_directory, self.sweeper.progress.done, joined.ring.geometry.slots)

    def set_state(self, state: int) -> None:
        """Say how far the session is."""
        self.state = self.words[Header.SESSION_STATE] = state

    def run(self, *, is_ending: bool) -> None:
        """Drain until the session has ended."""
        self._attend(is_sleeping=False)
        found = self.words[Header.SESSION_STATE]
        self.set_state(found if is_ending and found <= SessionState.ENDED else SessionState.LIVE)
        self._apply_config(force=True)
        self._forward(self._collect(resume=True))
        self.sweeper.freer.free_done()
        if is_ending:
            # A newcomer that opened the segment before it was renamed looks for a moment at what it has got.
            while not end_session(self):
                time.sleep(MIN_NAP)
            return
        next_watch = next_guard = 0.0
        next_offer = time.monotonic() + OFFER_EVERY
        ahead: Prepared | None = None
        while True:
            self._apply_config()
            begin = time.monotonic()
            prepared = ahead or self._collect()
            ahead = self._forward(prepared, looks_ahead=True)
            if begin >= next_watch or prepared is None:
                next_watch = begin + WATCH_EVERY
                self.watch.look()
                self.reports.look()
                self.figures.look()
                self._say_how_sinks_are(begin)
            self.sweeper.freer.free_done()
            if begin >= next_guard:
                next_guard = begin + GUARD_EVERY
                self._watch_guard()
            if begin >= next_offer:
                next_offer = begin + OFFER_EVERY
                self.segment.ring.offer_again()
            if prepared is not None:
                if ahead is None:
                    self._rest(begin)
            elif self._is_over():
                if end_session(self):
                    return
            else:
                self._sleep()

    def drain_once(self) -> bool:
        """Sweep once. True if there was anything."""
        self._apply_config()
        prepared = self._collect()
        self._forward(prepared)
        self.watch.look()
        self.sweeper.freer.free_done()
        return prepared is not None

    def _collect(self, *, resume: bool = False, after: Sweep | None = None) -> Prepared | None:
        """Copy what is new and group it into chunks."""
        if self._trial.is_on(self.sweeper.progress.done):
            return self._collect_with_care(resume=resume)
        sweep = self.sweeper.collect(resume=resume, after=after)
        if self.sweeper.new_owners:
            self.watch.greet(self.sweeper.new_owners)
        return None if sweep is None else Prepared(sweep, self.outputs.build(sweep.taken, sweep.rows))

    def _collect_with_care(self, *, resume: bool) -> Prepared | None:
        """Do the same slot by slot, on record: workers have died of what is there."""

        def admits(slot: int, epoch: int) -> bool:
            return self._trial.admits(f"slot {slot} of epoch {epoch}")

        sweep = self.sweeper.collect(resume=resume, may_read=admits)
        if sweep is None:
            self._trial.acquit()
            return None
        for frames in sweep.taken:
            admits(frames.slot, frames.epoch)
            self.outputs.build([frames], [])
        for rows in sweep.rows:
            admits(rows.slot, rows.epoch)
            self.outputs.build([], [rows])
        self._trial.acquit()
        return Prepared(sweep, self.outputs.build(sweep.taken, sweep.rows))

    def _forward(self, prepared: Prepared | None, *, looks_ahead: bool = False) -> Prepared | None:
        """Bring a sweep into the store, then make it done, then show it to the live sinks.

        With `looks_ahead`, and if there may be more, the next sweep is copied while rerun's threads write this one.
        """
        if prepared is None:
            return None
        sweep, built = prepared
        # A sink that was set before a row was logged must get the row, even if it came while we were copying.
        self._apply_config()
        self.sweeper.begin(sweep)
        self.outputs.begin(sweep.number, built.chunks)
        is_on_trial = self._trial.is_on(self.sweeper.progress.done)
        refused = self._store_with_care(built) if is_on_trial else self.outputs.store(built.chunks)
        for chunk in refused:
            refuse(chunk, sweep, built)
        is_busy = (sweep.is_full or self.sweeper.freer.is_half_full()) and not is_on_trial
        ahead = self._collect(after=sweep) if looks_ahead and is_busy else None
        self.outputs.flush()
        self.reports.note()
        self.figures.note(built)
        self.sweeper.complete(sweep, built)
        self.outputs.show(built.chunks)
        return ahead

    def _store_with_care(self, built: BuiltChunks) -> list[ChunkBatch]:
        """Store chunk by chunk, on record, and return those that are left out."""
        refused: list[ChunkBatch] = []
        for chunk in built.chunks:
            what = f"{chunk.chunk_id} of {chunk.num_rows} rows of {chunk.entity_path!r}"
            if self._trial.admits(what):
                refused += self.outputs.store([chunk])
                self.outputs.flush()
            else:
                refused.append(chunk)
        self._trial.acquit()
        return refused

    def _say_how_sinks_are(self, now: float) -> None:
        """Write down how the sinks are, if that has changed."""
        if now < self._next_status:
            return
        self._next_status = now + STATUS_EVERY
        sinks = self.outputs.sinks()
        if sinks != self._said_sinks:
            with contextlib.suppress(OSError):  # there is no room for it, which the next look will find again
                write_sinks(self.segment, sinks)
                self._said_sinks = sinks

    def _apply_config(self, *, force: bool = False) -> None:
        revision = self.words[Header.CONFIG_REVISION]
        if force or revision != self.words[Header.CONFIG_APPLIED]:
            try:
                config = read_config(self.segment)
            except RerunMpError as error:
                say(f"worker {os.getpid()}: {error}")
            except OSError as error:
                if force:
                    raise
                # Out of descriptors: it is not in force yet.
                say(f"worker {os.getpid()}: {error}")
                return
            else:
                self.outputs.apply(config)
                self.figures.apply(config)
            self.words[Header.CONFIG_APPLIED] = revision

    def _sleep(self) -> None:
        self._attend(is_sleeping=True)
        # Who committed before it could see that we sleep did not ring.
        if not self.sweeper.has_news() and self.words[Header.CONFIG_REVISION] == self.words[Header.CONFIG_APPLIED]:
            self.bell.wait(IDLE_POLL if self._gone_since is None else 0.02)
        self._attend(is_sleeping=False)

    def _rest(self, begin: float) -> None:
        """Let rows gather after a sweep that began at `begin`, as long as there is room and nobody rings.

        At least for the rest of the tick; and if the sweep took long, because its rows were of many entities, for so
        much longer that the cores are mostly the program's.
        """
        now = time.monotonic()
        end = max(begin + self._tick, now + min(REST_SHARE * (now - begin), MAX_REST))
        while now < end and not self.sweeper.freer.is_half_full():
            if self.bell.wait(min(end - now, max(self._tick, MIN_NAP))):
                return
            now = time.monotonic()

    def _attend(self, *, is_sleeping: bool) -> None:
        pressure = Attention.PRESSURE if self.sweeper.freer.is_under_pressure else 0
        self.words[Header.ATTENTION] = pressure | (Attention.SLEEPING if is_sleeping else 0)

    def _is_over(self) -> bool:
        if leases.is_held(self.descriptor, Lock.PARTICIPANTS):
            self._gone_since = None
            return False
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
        return is_over(self.segment, now - self._gone_since)

    def _watch_guard(self) -> None:
        if self.words[Header.SESSION_STATE] != self.state:
            self.words[Header.SESSION_STATE] = self.state
        self.segment.restore_identity()
        # Out of processes or descriptors: the next look tries again.
        with contextlib.suppress(RerunMpError, OSError):
            collector_start.ensure_collector(self.segment, need_guard=True)
