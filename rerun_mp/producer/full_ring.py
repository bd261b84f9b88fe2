"""Rows that find no space: applies the session's policy, and adds to the producer's counters in shared memory.

Belongs to one producer. Any thread may call it, with or without the producer's mutex.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

from rerun_mp.errors import RingFullError, SessionEndedError
from rerun_mp.settings import Policy
from rerun_mp.shm.interruptions import Mark, is_own
from rerun_mp.shm.layout import Header, ProducerWord, unpack_owner

if TYPE_CHECKING:
    import threading

    from rerun_mp.shm.writer import SlotWriter

__all__ = ["FullRing"]


class FullRing:
    """Applies the policy and counts dropped rows, refused rows and the time spent waiting."""

    __slots__ = ("_counting", "_entry", "_mutex", "_pending", "_policy", "_slots", "_words", "_writer", "is_closed")

    def __init__(self, writer: SlotWriter, mutex: threading.RLock) -> None:
        """Count in the producers-table entry of `writer`'s owner, under the producer's mutex."""
        geometry = writer.ring.geometry
        self._writer = writer
        self._words = writer.ring.words
        self._slots = geometry.slots
        self._policy: int = writer.ring.words[Header.POLICY]
        self._entry = geometry.producer_word(unpack_owner(writer.owner)[0])
        self._mutex = mutex
        self._pending: deque[tuple[int, int]] = deque()
        """Counters and the numbers to add to them."""
        self._counting = Mark()
        """Set while a call is adding the pending numbers. A call that interrupts it leaves its own number to it."""
        self.is_closed = False
        """Whether the producer is closed. Its entry may belong to another process then."""

    @property
    def dropped(self) -> int:
        """Rows that the policy dropped."""
        return self._words[self._entry + ProducerWord.DROPPED]

    def may_wait(self, waited_ns: int, rows: int) -> bool:
        """Apply the policy to rows for which the ring has no space. False: they are dropped, and counted.

        Raises
        ------
        RingFullError
            If the policy raises, or the call has waited for as long as the session allows.
        SessionEndedError
            If the producer is closed.
        """
        if self.is_closed:
            raise SessionEndedError(
                "this process has left its session, so the row has nowhere to go; call rerun_mp.init() again"
            )
        if self._policy == Policy.DROP:
            self.count(ProducerWord.DROPPED, rows)
            return False
        timeout_ns = self._words[Header.BLOCK_TIMEOUT_NS]
        if self._policy == Policy.RAISE or (timeout_ns and waited_ns >= timeout_ns):
            self.count(ProducerWord.REFUSED, rows)
            full = RingFullError(
                f"the ring of {self._slots} slots is full and stayed so for {waited_ns / 1e9:.1f} s; "
                "this row was not logged. Enlarge the ring (RERUN_MP_RING_BYTES) or choose another policy "
                "(RERUN_MP_POLICY=block or drop)."
            )
            full.is_counted = True
            raise full
        return True

    def refuse(self, message: str, why: str, cause: OSError, rows: int) -> None:
        """Apply the policy to rows for which waiting would not help. Returns if the caller must treat them as dropped.

        `why` is the short form of `message`, see `RerunMpError.cause`.

        Raises
        ------
        RingFullError
            With `message`, unless the policy drops.
        """
        if self._policy != Policy.DROP:
            self.count(ProducerWord.REFUSED, rows)
            refused = RingFullError(message)
            refused.cause, refused.is_counted = why, True
            raise refused from cause

    def count(self, word: int, number: int) -> None:
        """Add to one of the counters of this process's entry."""
        if sys.is_finalizing():
            # A thread that finalisation froze may hold the mutex.
            self._count(word, number)
            return
        with self._mutex:
            self._count(word, number)

    def _count(self, word: int, number: int) -> None:
        self._pending.append((word, number))
        while self._pending:
            try:
                del self._counting.free
            except AttributeError as error:
                if not is_own(error):
                    raise
                return
            try:
                self._add_pending()
            finally:
                self._counting.free = True

    def _add_pending(self) -> None:
        while self._pending:
            word, number = self._pending.popleft()
            if not self.is_closed and self._writer.is_intact:
                # Two steps: a trace function may run in between, and what it logs may be dropped, too.
                self._words[self._entry + word] += number
