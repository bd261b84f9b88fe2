"""Watches who of the producers still lives, and clears up after those who do not.

Dead is whose lease the kernel has freed. In this order: the lease, then the slots' states, then their counts. An entry
is freed last, when every slot of that (index, generation) is delivered and free, its account is written down, and the
files of messages that it died in the middle of are removed. If the account has to wait for room on the disk, the entry
is freed all the same: others wait for it.

Of a producer that a signal has killed, the recordings on which it had logged say so (`deaths`).

A slot whose owner has no entry, and whose lease nobody holds, has a forged line: it is cleared up in the same way, so
that a ring cannot lose its slots one by one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.collector.messages import say
from rerun_mp.collector.reporting.deaths import Deaths
from rerun_mp.encoding.frames import RecordingKey, large_file_prefix
from rerun_mp.session import collector_start
from rerun_mp.session.accounts import Account, append_account, live_account
from rerun_mp.shm import leases
from rerun_mp.shm.layout import PAGE, PRODUCER_WORDS, WORD, Lock, ProducerState, ProducerWord, pack_owner, unpack_owner
from rerun_mp.shm.segment import Segment

__all__ = ["ProducersWatch"]

MAX_DYING_SECS = 5.0
"""A process that goes on for so long without its lease has begun another program."""


class ProducersWatch:
    """Used by the worker's main thread only."""

    def __init__(self, segment: Segment, descriptor: int, sweeper: Sweeper) -> None:
        self._segment = segment
        self._descriptor = descriptor
        self._sweeper = sweeper
        first = PAGE // WORD
        count = segment.ring.geometry.producers * PRODUCER_WORDS
        self.unwritten: list[Account] = []
        """Of producers that have ended; kept here while they cannot be written down."""
        self.has_ended_with_drops = True
        """Whether a producer has ended that had dropped rows. So it may have been before this life."""
        self._deaths = Deaths()
        self._dying: list[tuple[float, int, Account, set[RecordingKey]]] = []
        """Since when they are dead, owner, account and recordings of producers that did not leave by themselves."""
        self.killed: list[tuple[Account, str, set[RecordingKey]]] = []
        """Accounts of producers that a signal has killed, its name, and where they had logged; removed once said."""
        self._states = segment.ring.words[first : first + count : PRODUCER_WORDS]

    def look(self) -> int:
        """Seal the slots of the dead and free the entries of those who are wholly delivered. Returns how many live."""
        living = 0
        if collector_start.own_mailbox >= 0:
            self._deaths.receive(collector_start.own_mailbox)
        # The slots first: whoever owned one then had its entry before, and loses it here only.
        owners = {state & ~0xFF for state in self._segment.ring.states.tolist() if state > 0xFF}
        if self.unwritten:
            self._write_down()
        for index, state in enumerate(self._states.tolist()):
            if state & 0xFF != ProducerState.LIVE:
                continue
            owner = pack_owner(index, state >> 8)
            if leases.is_held(self._descriptor, Lock.PRODUCERS + index):
                living += 1
                self._deaths.watch(owner, self._word(index, ProducerWord.PID))
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

    def greet(self, owners: Iterable[int]) -> None:
        """Begin to watch producers of which something has been taken for the first time."""
        for owner in owners:
            index, _ = unpack_owner(owner)
            if index < self._segment.ring.geometry.producers and leases.is_held(
                self._descriptor, Lock.PRODUCERS + index
            ):
                self._deaths.watch(owner, self._word(index, ProducerWord.PID))

    def _seal_if_orphan(self, owner: int) -> None:
        index, _ = unpack_owner(owner)
        if index < self._segment.ring.geometry.producers:
            state = self._states[index]
            has_entry = state & 0xFF == ProducerState.LIVE and pack_owner(index, state >> 8) == owner
            if has_entry or leases.is_held(self._descriptor, Lock.PRODUCERS + index):
                return
        self._sweeper.freer.seal_dead(owner)

    def _remove_files(self, prefix: str) -> None:
        """Remove what a producer has put into the spool and no row in the ring names."""
        with contextlib.suppress(OSError), os.scandir(self._segment.spool_directory) as entries:
            for entry in entries:
                if entry.name.startswith(prefix):
                    os.unlink(entry.path)

    def _word(self, index: int, word: int) -> int:
        return self._segment.ring.words[self._segment.ring.geometry.producer_word(index) + word]

    def _find_causes(self) -> None:
        """Find out of what the dead have died, as soon as their processes have ended."""
        now = time.monotonic()
        still: list[tuple[float, int, Account, set[RecordingKey]]] = []
        for since, owner, account, recordings in self._dying:
            if self._deaths.has_ended(owner) or now - since > MAX_DYING_SECS:
                cause = self._deaths.cause(owner, account.pid)
                if cause is not None:
                    self.killed.append((account, cause, recordings))
            else:
                still.append((since, owner, account, recordings))
        self._dying = still

    def _close_account(self, index: int, owner: int) -> None:
        account = live_account(self._segment, index)
        recordings = self._sweeper.forget_producer(owner)
        if account is None:
            return
        if self._word(index, ProducerWord.LEFT):
            self._deaths.cause(owner, account.pid)
        else:
            self._dying.append((time.monotonic(), owner, account, recordings))
        self.has_ended_with_drops |= account.dropped > 0
        self.unwritten.append(account)
        if len(self.unwritten) == 1:
            self._write_down()

    def _write_down(self) -> None:
        try:
            while self.unwritten:
                append_account(self._segment, self.unwritten[0])
                del self.unwritten[0]
        except OSError as error:
            if len(self.unwritten) == 1:
                say(f"rerun_mp: accounts cannot be written down for now: {error}")

    def entries(self) -> int:
        """Return how many entries are not free: living producers and dead ones with something to deliver."""
        return sum(1 for state in self._states.tolist() if state & 0xFF == ProducerState.LIVE)
