"""Clears up after dead producers: seals their slots, closes their accounts, frees their entries.

A producer is dead when the kernel has freed its lease. The worker looks in this order: the lease, then the states of
its slots, then their counts. It frees an entry last: when every slot of that (index, generation) is delivered and free,
the account is written down, and the files of messages that the producer died in the middle of are removed. If the disk
has no room for the account, the entry is freed all the same, because other producers wait for it.

For a producer that a signal killed, the recordings on which it had logged get a row (`death_causes`, `loss_reports`).

A slot whose owner has no entry, and whose owner's lease is free, has a forged control line. The worker clears it up in
the same way, so that a ring cannot lose its slots one by one. Used by the worker's main thread only.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.collector.messages import say
from rerun_mp.collector.reporting.death_causes import DeathCauses
from rerun_mp.encoding.frames import RecordingKey, large_file_prefix
from rerun_mp.session import collector_start
from rerun_mp.session.accounts import Account, EndedAccounts, live_account
from rerun_mp.shm import leases
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, Lock, ProducerState, ProducerWord, pack_owner, unpack_owner
from rerun_mp.shm.segment import Segment

__all__ = ["DeadProducers", "Killed"]

MAX_DYING_SECS = 5.0
"""Seconds after which a process that runs on without its lease is taken to have started another program by exec."""
STATE_MASK = np.uint64(0xFF)
"""The bits of an entry's first word that hold its state. The others hold its generation."""


class Killed(NamedTuple):
    """A producer that a signal has killed."""

    account: Account
    signal: str
    recordings: set[RecordingKey]
    """Recordings on which it had logged. Empty if an earlier worker took its rows."""


class _Dying(NamedTuple):
    """A producer whose lease is free and whose process may still be about to end."""

    since: float
    owner: int
    account: Account
    recordings: set[RecordingKey]


class DeadProducers:
    """Looks after the producers of one segment."""

    def __init__(self, segment: Segment, descriptor: int, sweeper: Sweeper) -> None:
        self._segment = segment
        self._descriptor = descriptor
        self._sweeper = sweeper
        self.unwritten: list[Account] = []
        """Accounts of ended producers that wait for room on the disk."""
        self.ended = EndedAccounts(segment)
        self.has_dropped = True
        """Whether a producer has ended that had dropped rows. True at first: an earlier worker may have seen one."""
        self.killed: list[Killed] = []
        """Producers to report as killed; `LossReports` empties it."""
        self._causes = DeathCauses()
        self._dying: list[_Dying] = []
        count = segment.ring.geometry.producers * PRODUCER_WORDS
        self._states: Any = np.frombuffer(segment.ring.memory, np.uint64, count, PAGE)[::PRODUCER_WORDS]
        """uint64 of shape (producers,), in shared memory."""

    def clear_up(self) -> int:
        """Seal the slots of dead producers, and free the entries of those that are wholly delivered.

        Returns the number of living producers.
        """
        living = 0
        if collector_start.own_mailbox >= 0:
            self._causes.receive(collector_start.own_mailbox)
        # The slots first: a slot's owner had its entry before it claimed the slot, and loses the entry only here.
        owners = {state & ~0xFF for state in self._segment.ring.states.tolist() if state > 0xFF}
        if self.unwritten:
            self._write_accounts()
        states = self._states.copy()
        for index in np.flatnonzero(states & STATE_MASK == ProducerState.LIVE).tolist():
            state = int(states[index])
            owner = pack_owner(index, state >> 8)
            if leases.is_held(self._descriptor, Lock.PRODUCERS + index):
                living += 1
                self._causes.watch(owner, self._word(index, ProducerWord.PID))
                continue
            owners.discard(owner)
            self._sweeper.freer.seal_dead(owner)
            if not self._segment.ring.owner_slots(owner):
                self._close_account(index, owner)
                self._remove_files(large_file_prefix(index, state >> 8))
                entry = self._segment.ring.geometry.producer_word(index)
                self._segment.ring.words[entry + ProducerWord.STATE] = state & ~0xFF | ProducerState.FREE
        for owner in owners:
            self._seal_if_orphan(owner)
        if self._dying:
            self._find_causes()
        return living

    def watch(self, owners: Iterable[int]) -> None:
        """Begin to watch producers from which the first rows have been taken, so that their end is known later."""
        for owner in owners:
            index, _ = unpack_owner(owner)
            if index < self._segment.ring.geometry.producers and leases.is_held(
                self._descriptor, Lock.PRODUCERS + index
            ):
                self._causes.watch(owner, self._word(index, ProducerWord.PID))

    def count_entries(self) -> int:
        """Return how many entries are in use: by living producers, and by dead ones that are not wholly delivered."""
        return int(np.count_nonzero(self._states & STATE_MASK == ProducerState.LIVE))

    def _seal_if_orphan(self, owner: int) -> None:
        index, _ = unpack_owner(owner)
        if index < self._segment.ring.geometry.producers:
            state = int(self._states[index])
            has_entry = state & 0xFF == ProducerState.LIVE and pack_owner(index, state >> 8) == owner
            if has_entry or leases.is_held(self._descriptor, Lock.PRODUCERS + index):
                return
        self._sweeper.freer.seal_dead(owner)

    def _remove_files(self, prefix: str) -> None:
        """Remove the spool files of a producer that no row in the ring names."""
        with contextlib.suppress(OSError), os.scandir(self._segment.spool_directory) as entries:
            for entry in entries:
                if entry.name.startswith(prefix):
                    os.unlink(entry.path)

    def _word(self, index: int, word: int) -> int:
        return self._segment.ring.words[self._segment.ring.geometry.producer_word(index) + word]

    def _find_causes(self) -> None:
        """Find what signals killed the dead producers whose processes have ended by now."""
        now = time.monotonic()
        still: list[_Dying] = []
        for dying in self._dying:
            if self._causes.has_ended(dying.owner) or now - dying.since > MAX_DYING_SECS:
                cause = self._causes.cause(dying.owner, dying.account.pid)
                if cause is not None:
                    self.killed.append(Killed(dying.account, cause, dying.recordings))
            else:
                still.append(dying)
        self._dying = still

    def _close_account(self, index: int, owner: int) -> None:
        account = live_account(self._segment, index)
        recordings = self._sweeper.forget_producer(owner)
        if account is None:
            return
        if self._word(index, ProducerWord.LEFT):
            self._causes.cause(owner, account.pid)
        else:
            self._dying.append(_Dying(time.monotonic(), owner, account, recordings))
        self.has_dropped |= account.dropped > 0
        self.unwritten.append(account)
        if len(self.unwritten) == 1:
            self._write_accounts()

    def _write_accounts(self) -> None:
        try:
            while self.unwritten:
                self.ended.append(self.unwritten[0])
                del self.unwritten[0]
        except OSError as error:
            if len(self.unwritten) == 1:
                say(f"rerun_mp: accounts cannot be written for now: {error}")
