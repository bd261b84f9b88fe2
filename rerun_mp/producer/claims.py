"""Gets slots for a producer: claims, spares for large messages, and the repair after an exception.

Belongs to one producer. Its caller holds the producer's mutex, or claims slots that no other call of the process knows.
"""

from __future__ import annotations

import contextlib
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.encoding.chains import unpack_chain
from rerun_mp.errors import CorruptionError, ResourceError
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Header, Kind, Line, SlotState, unpack_owner
from rerun_mp.shm.remedies import remedy
from rerun_mp.shm.reserve import ReserveLocks
from rerun_mp.shm.segment import ClaimLocks
from rerun_mp.shm.transient import close_in_children, no_forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rerun_mp.producer.full_ring import FullRing
    from rerun_mp.shm.segment import Segment
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["Claims"]

MAX_SPARES = 8
"""Slots claimed at once for large messages that need fewer."""
SPARE_SHARE = 16
"""Spares are at most this fraction (1/16) of the usable slots."""
START_STEP = 61
"""Slots between the places where two neighbours in the producers table begin to look for a free slot."""


class Claims:
    """Claims slots for one producer."""

    def __init__(
        self,
        segment: Segment,
        writer: SlotWriter,
        full_ring: FullRing,
        check_collector: Callable[[], None],
        open_slots: Callable[[], Iterable[int]],
    ) -> None:
        """Claim as the owner that `writer` names.

        Parameters
        ----------
        segment, writer, full_ring
            The producer's.
        check_collector
            Called before each claim.
        open_slots
            Returns the slots that the producer keeps open between calls, spares excepted.
        """
        self._segment = segment
        self._ring = segment.ring
        self._writer = writer
        # Producers begin at different slots, so that they seldom try the same one.
        self._start = unpack_owner(writer.owner)[0] * START_STEP % segment.ring.geometry.slots
        self._full_ring = full_ring
        self._check_collector = check_collector
        self._open_slots = open_slots
        self.spares: list[int] = []
        """Slots claimed ahead for large messages."""
        self._mapped = bytearray(segment.ring.geometry.slots)
        """1 for each slot whose pages this process has mapped."""
        self.needs_repair = False
        """Whether an exception ended a call that may have left a slot open which the producer does not know."""

    def claim(self, kind: int, rows: int, *, maps_ahead: bool) -> int | None:
        """Claim one slot for `rows` rows. None: there is none. See `claim_all`."""
        slots = self.claim_all((kind,), rows, maps_ahead=maps_ahead)
        return slots[0] if slots else None

    def claim_chain(self, slots: int, rows: int) -> list[int]:
        """Claim `slots` slots, or fewer, for one message of `rows` rows."""
        return self.claim_all((Kind.HEAD,) * slots, rows, maps_ahead=True)

    def claim_all(self, kinds: Sequence[int], rows: int, *, maps_ahead: bool) -> list[int]:
        """Claim a slot for each of `kinds`, or fewer if the ring has no more.

        `rows` counts the rows that are refused if a claim is impossible. `maps_ahead`: the caller will fill the slots
        soon, so map their pages now.

        Raises
        ------
        RingFullError
            If the system refuses a descriptor or a lock, unless the policy drops.
        """
        self._check_collector()
        tried: list[int] = []
        try:
            with no_forks(), FileIO(self._segment.open(), "r+") as file:
                locks = ClaimLocks(self._segment, close_in_children(file))
                slots = self._writer.claim(kinds, self._start, locks.lock, locks.reserve, tried)
            for slot in slots:
                if maps_ahead and not self._mapped[slot]:
                    # To map page by page, at the first store to each, takes several times as long.
                    self._segment.map_ahead(slot)
                    self._mapped[slot] = 1
        except BaseException as error:
            self._writer.abandon(tried)
            if not self._is_refusal(error):
                raise
            if isinstance(error, PermissionError) and self._segment.reserve.descriptor() >= 0:
                return self._claim_with_reserve(kinds, rows)
            # Usually the process has no descriptor left.
            self._refuse(error, rows)
            return []
        return slots

    def _is_refusal(self, error: BaseException) -> bool:
        """Return whether the system has refused something that a claim needs."""
        is_from_system = isinstance(error, OSError) and not isinstance(error, ResourceError)
        return is_from_system and is_own(error) and self._writer.is_intact

    def _refuse(self, error: BaseException, rows: int) -> None:
        assert isinstance(error, OSError)
        self._full_ring.refuse(
            f"no slot of the ring can be claimed: {error.strerror}; this row was not logged. {remedy(error)}",
            f"no slot of the ring could be claimed ({error.strerror})",
            error,
            rows,
        )

    def _claim_with_reserve(self, kinds: Sequence[int], rows: int) -> list[int]:
        """Claim as `claim_all`, in a process that has changed its user and may not open the segment any more."""
        with no_forks():
            tried: list[int] = []
            locks = ReserveLocks(self._segment.reserve, self._ring.geometry)
            try:
                return self._writer.claim(kinds, self._start, locks.lock, locks.reserve, tried)
            except BaseException as error:
                self._writer.abandon(tried)
                if not self._is_refusal(error):
                    raise
                self._refuse(error, rows)
                return []
            finally:
                locks.release()

    def take_spares(self, slots: int, rows: int) -> list[int]:
        """Take `slots` slots, or fewer, for one message of `rows` rows from the slots claimed ahead.

        A claim makes a system call for each slot and some more; a claim for several messages at once is cheaper.
        """
        spares = self.spares
        missing = slots - len(spares)
        if missing > 0:
            self.repair()
            ahead = min(MAX_SPARES, self._ring.words[Header.USABLE_SLOTS] // SPARE_SHARE)
            more = self.claim_chain(max(missing, ahead), rows)
            spares = self.spares = spares + more
            if not self._ring.has_room_to_keep():
                surplus, self.spares = spares[slots:], spares[:slots]
                self._writer.abandon(surplus)
                spares = self.spares
        # One step, without a call: an interrupted call finds each slot either here or there.
        chain, self.spares = spares[:slots], spares[slots:]
        return chain

    def abandon_spares(self) -> None:
        """Give the spares back."""
        spares, self.spares = self.spares, []
        self._writer.abandon(spares)

    def repair(self) -> None:
        """Give back the slots that a call left open when an exception ended it.

        A KeyboardInterrupt may come after any call: between a claim and the store of its result, or while a slot is
        given back. Such a slot is open and this producer's, but the producer does not know it. The caller must not be
        in the middle of a call, because such a call has slots of this kind, too.
        """
        if not self.needs_repair:
            return
        ring, words, owner = self._ring, self._ring.words, self._writer.owner
        known = {*self._open_slots(), *self.spares}
        for slot in ring.owner_slots(owner):
            line = ring.geometry.line_word(slot)
            if words[line + Line.KIND] == Kind.HEAD and words[line + Line.COUNT]:
                # Parts stay open until the collector frees them with their head. If it just has, the head is no chain.
                with contextlib.suppress(CorruptionError):
                    offset, size = ring.geometry.slot_offset(slot), ring.geometry.slot_bytes
                    head = memoryview(bytes(ring.memory[offset : offset + size]))
                    known.update(part for part, _ in unpack_chain(head, ring.geometry.slots, size)[0])
        for slot in ring.owner_slots(owner):
            if slot in known or ring.states[slot] != owner | SlotState.OPEN:
                continue
            if words[ring.count_word(slot)]:
                self._writer.seal(slot)
            else:
                self._writer.abandon((slot,))
        self.needs_repair = False
