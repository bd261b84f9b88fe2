"""The worker: drains the ring into stores and live sinks until the session's process tree is gone.

One thread drains; each live sink has its own. The worker holds the WORKER byte. If it is killed at any point, its
successor goes on from there: see `drain.sweep` for the rows, `ending` for the end.

SIGINT and SIGTERM ask it to drain. It always does; they only wake it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import time

from rerun_mp.collector.adoption import is_awaited
from rerun_mp.collector.ending import LIVE_PATIENCE, end_session, is_over, remove_session
from rerun_mp.collector.pipeline import Pipeline, Prepared
from rerun_mp.collector.starting import ALREADY_RUNNING, find_segment, outlive_signals
from rerun_mp.errors import RerunMpError
from rerun_mp.session import collector_start
from rerun_mp.shm import introductions, leases
from rerun_mp.shm.doorbell import Bell
from rerun_mp.shm.layout import Attention, Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["Worker", "main"]

MAX_TICK = 1.0
"""Maximum seconds between two sweeps under load, whatever the session's settings say."""
REST_FACTOR = 3.0
"""Rest after a sweep, as a multiple of the time that it took."""
GATHERING_REST_FACTOR = 8.0
"""The same after a sweep of small chunks, if no live sink waits for rows and no work is due at a certain time."""
MAX_REST = 0.25
"""Maximum seconds of such a rest."""
LONG_MAX_REST = 1.0
"""The same if no live sink waits for rows and no work is due at a certain time. A sweep over thousands of entities
takes tenths of a second, however few rows it has."""
MIN_NAP = 0.005
"""Minimum seconds between two looks at the free slots while resting."""
IDLE_POLL = 0.25
"""Maximum seconds that an idle worker sleeps: the cost of a missed ring."""
LONG_IDLE_POLL = 1.0
"""The same from `LONG_IDLE` seconds after the last row on, if no work is due at a certain time."""
LONG_IDLE = 5.0
"""Seconds without a row."""
ENDING_POLL = 0.02
"""Maximum seconds that the worker sleeps after the last participant has gone."""
REPORT_INTERVAL = 0.1
"""Seconds between two checks for dead producers, and between reports."""
GUARD_INTERVAL = 1.0
"""Seconds between two checks that the guard runs."""
LET_GO = 4
"""Exit status of a worker that ends while its session goes on."""
RESERVE_INTERVAL = 5.0
"""Seconds after which producers may try again to reserve memory for slots that had none."""


def main(path: str, nonce: str) -> int:
    """Run the session's worker. Returns 0 when the session has ended."""
    outlive_signals()
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    descriptor = joined.open()
    if not leases.try_lock(descriptor, Lock.WORKER):
        return ALREADY_RUNNING
    # The worker that held the lease until now may have ended the session, or died while doing so.
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    collector_start.own_mailbox = introductions.inherited_mailbox(joined.runtime_directory)
    words = joined.ring.words
    words[Header.WORKER_PID] = os.getpid()
    joined.ring.count_up(Header.WORKER_LIVES, 1)
    os.chdir("/")
    if words[Header.SESSION_STATE] >= SessionState.REMOVING:
        remove_session(joined, Bell(joined.nonce))
        return 0
    gc.collect()
    gc.freeze()  # imported modules stay, so later collections need not visit them
    Worker(joined, descriptor).run(is_ending=joined.path == joined.ending_path)
    return 0 if words[Header.SESSION_STATE] == SessionState.ENDED else LET_GO


class Worker:
    """Drains one session."""

    def __init__(self, joined: Segment, descriptor: int) -> None:
        self._segment = joined
        self._descriptor = descriptor
        self._words = joined.ring.words
        self._bell = Bell(joined.nonce)
        self._pipeline = Pipeline(joined, descriptor)
        self._freer = self._pipeline.sweeper.freer
        self._tick = min(joined.ring.words[Header.FLUSH_TICK_NS] / 1e9, MAX_TICK)
        """Seconds between two sweeps under load. A longer tick makes larger chunks, and disturbs the caches of the
        producers less."""
        self._gone_since: float | None = None
        """When the worker first saw that no participant is left."""
        self._is_rung_for = False
        """Whether the bell has ended the last rest, and no sweep since has taken all rows."""

    def run(self, *, is_ending: bool) -> None:
        """Drain until the session has ended."""
        pipeline = self._pipeline
        self._attend(is_sleeping=False)
        found = self._words[Header.SESSION_STATE]
        pipeline.set_state(found if is_ending and found <= SessionState.ENDED else SessionState.LIVE)
        pipeline.apply_config(is_first=True)
        self._segment.ring.count_up(Header.READY_WORKERS, 1)
        pipeline.forward(pipeline.collect(resume=True))
        self._freer.free_done()
        if is_ending:
            # A newcomer that opened the segment before it was renamed holds a share for a moment.
            while not end_session(pipeline, self._bell):
                time.sleep(MIN_NAP)
            return
        next_report = next_guard = next_look = 0.0
        last_news = time.monotonic()
        next_reserve = last_news + RESERVE_INTERVAL
        ahead: Prepared | None = None
        while True:
            pipeline.apply_config()
            begin = time.monotonic()
            prepared = ahead or pipeline.collect()
            ahead = self._forward(prepared, begin)
            if begin >= next_report or prepared is None:
                next_report = begin + REPORT_INTERVAL
                pipeline.report()
                self._freer.free_done()  # what dead producers held
            if begin >= next_guard:
                next_guard = begin + GUARD_INTERVAL
                self._ensure_guard()
            if begin >= next_reserve:
                next_reserve = begin + RESERVE_INTERVAL
                self._segment.ring.offer_again()
            if prepared is not None:
                last_news = begin
            elif self._is_over():
                if end_session(pipeline, self._bell):
                    return
            elif begin >= next_look and is_awaited(self._segment, begin - last_news):
                self._let_go()
                return
            else:
                next_look = max(next_look, begin + IDLE_POLL)
                self._sleep(self._idle_secs(begin - last_news))

    def _let_go(self) -> None:
        """Let the next row start a collector.

        If a row has been committed just now, the next worker finds it at once.
        """
        self._pipeline.report()
        self._pipeline.outputs.close_live(LIVE_PATIENCE)
        self._words[Header.IS_AWAY] = 1
        self._attend(is_sleeping=True)
        if self._pipeline.is_config_due() or self._pipeline.sweeper.has_news():
            self._words[Header.IS_AWAY] = 0

    def _forward(self, prepared: Prepared | None, begin: float) -> Prepared | None:
        """Store a sweep that began at `begin`, free its slots, and rest. Returns the next sweep if there is no rest.

        The threads of live sinks need the interpreter's lock at once. So reports come after the rest.
        """
        if prepared is None:
            return None
        ahead = self._pipeline.forward(prepared, looks_ahead=True)
        self._freer.free_done()
        # A caller that waits for its rows rings once, and its rows may need several full sweeps.
        if ahead is None and not (self._is_rung_for and prepared.sweep.is_full):
            self._is_rung_for = self._rest(begin, gathers=prepared.may_gather)
        return ahead

    def _idle_secs(self, idle: float) -> float:
        """Return how long to sleep at most, `idle` seconds after the last row."""
        if self._gone_since is not None:
            return ENDING_POLL
        return LONG_IDLE_POLL if idle > LONG_IDLE and not self._pipeline.has_timers else IDLE_POLL

    def _sleep(self, secs: float) -> None:
        self._attend(is_sleeping=True)
        # A producer that committed before it could see the flag did not ring.
        has_news = self._pipeline.sweeper.has_news()
        if not has_news and not self._pipeline.is_config_due():
            self._bell.wait(secs)
        self._attend(is_sleeping=False)

    def _rest(self, begin: float, *, gathers: bool) -> bool:
        """Let rows gather after a sweep that began at `begin`, until the ring is half full or the bell rings.

        Returns whether the bell has rung.

        The rest lasts at least until the tick has passed. If the sweep took long, because its rows were of many
        entities, it lasts longer, so that the program has the cores most of the time.
        """
        now = time.monotonic()
        is_urgent = self._pipeline.is_urgent
        longest = MAX_REST if is_urgent else LONG_MAX_REST
        factor = GATHERING_REST_FACTOR if gathers and not is_urgent else REST_FACTOR
        end = max(begin + self._tick, now + min(factor * (now - begin), longest))
        while now < end and not self._freer.is_half_full():
            if self._bell.wait(min(end - now, max(self._tick, MIN_NAP))):
                return True
            now = time.monotonic()
        return False

    def _attend(self, *, is_sleeping: bool) -> None:
        """Store the attention word. `is_sleeping`: the worker must be woken."""
        self._words[Header.ATTENTION] = self._freer.attention() | (Attention.SLEEPING if is_sleeping else 0)

    def _is_over(self) -> bool:
        if leases.is_held(self._descriptor, Lock.PARTICIPANTS):
            self._gone_since = None
            return False
        now = time.monotonic()
        if self._gone_since is None:
            self._gone_since = now
        return is_over(self._segment, now - self._gone_since)

    def _ensure_guard(self) -> None:
        """Start a guard if none runs, and repair the header's words that another process may have damaged."""
        if self._words[Header.SESSION_STATE] != self._pipeline.state:
            self._words[Header.SESSION_STATE] = self._pipeline.state
        self._segment.restore_identity()
        if leases.is_held(self._descriptor, Lock.GUARD):
            return
        # No process or descriptor is free; the next check tries again.
        with contextlib.suppress(RerunMpError, OSError):
            collector_start.ensure_collector(self._segment, need_guard=True)
