"""A producer's side of the ring: claim, write and commit, seal, abandon.

Every store into the segment goes through views of the writer's own. In a forked child, and when the producer is closed,
`invalidate` releases them: a call that was interrupted between any two steps raises ValueError at its next store, and
its caller begins again with another producer. A fork made in C runs no hook; there each store is preceded by a look at
the fork guard, and the call raises `ForkedError`.

The owner calls these methods under its own mutex, or for slots that no other call of the process knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.kernel import fence
from rerun_mp.shm.layout import LINE_WORDS, Kind, Line, SlotState
from rerun_mp.shm.ring import Ring

__all__ = ["ForkedError", "SlotWriter"]

CANDIDATES = 16
"""Slots that a claim tries beyond those that it wants, before it gives up."""


class ForkedError(Exception):
    """The process forked during this call, and this is the child. Never reaches the user."""


class SlotWriter:
    """Writes into slots of a ring as one owner."""

    __slots__ = ("_fences", "_first_line", "_memory", "_states", "_words", "alive", "armed", "owner", "ring")

    def __init__(self, ring: Ring, owner: int, alive: memoryview, armed: int, *, fences: bool = False) -> None:
        """Write as `owner` (`layout.pack_owner`), as long as byte `armed` of `alive` is not 0."""
        self.ring = ring
        self.owner = owner
        self.alive = alive
        self.armed = armed
        self._fences = fences
        """Whether this process orders its stores by fences of its own; see `ordering`."""
        self._first_line = ring.geometry.line_word(0)
        self._memory = ring.memory[:]
        self._words = ring.words[:]
        self._states = ring.states[:]

    @property
    def views(self) -> tuple[memoryview, memoryview, memoryview]:
        """The views of the segment's bytes, words and slot states that `invalidate` releases."""
        return self._memory, self._words, self._states

    @property
    def has_fences(self) -> bool:
        """Whether this process orders its stores by fences of its own; see `ordering`."""
        return self._fences

    @property
    def is_intact(self) -> bool:
        """False in a process forked since the owner registered."""
        return self.alive[self.armed] == 1

    def invalidate(self) -> None:
        """Release the views: whatever call is in progress stores nothing more."""
        for view in (self._memory, self._words, self._states):
            view.release()

    def claim(
        self,
        kinds: Sequence[int],
        start: int,
        lock: Callable[[int], bool],
        reserve: Callable[[int], bool],
        tried: list[int] | None = None,
    ) -> list[int]:
        """Claim a free slot for each of `kinds`, or fewer if there are no more. Returns the slots.

        Parameters
        ----------
        kinds
            A `layout.Kind` for each slot.
        start
            The first slot to try. Each producer has its own, so that they seldom try the same slot.
        lock
            Takes a slot's lock without waiting. The caller releases all locks after the call.
        reserve
            Reserves memory for an untouched slot, under its lock. False: there is none.
        tried
            The claim appends each slot here before it may become the owner's, for `abandon`.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered.
        """
        words, states = self._words, self._states
        alive, armed, mine = self.alive, self.armed, self.owner | SlotState.OPEN
        snapshot = states.tolist()
        claimed: list[int] = []
        # Used slots first: so the ring takes only as much memory as the load needs.
        for wanted in (SlotState.FREE, SlotState.UNTOUCHED):
            if wanted not in snapshot:
                continue
            most = CANDIDATES + len(kinds) if len(claimed) < len(kinds) else 0
            for slot in positions(snapshot, wanted, start if wanted == SlotState.FREE else 0, most):
                if not lock(slot) or states[slot] != wanted:
                    continue
                usable = wanted == SlotState.FREE or reserve(slot)
                if tried is not None:
                    tried.append(slot)
                kind, kind_word = kinds[len(claimed)], self._first_line + slot * LINE_WORDS + Line.KIND
                if not usable:
                    if alive[armed]:
                        states[slot] = SlotState.UNUSABLE
                    continue
                if not alive[armed]:
                    raise ForkedError
                words[kind_word] = kind
                states[slot] = mine
                claimed.append(slot)
                if len(claimed) == len(kinds):
                    break
        return claimed

    def write(self, slot: int, at: int, pieces: Iterable[bytes | memoryview], count: int, rows: int = 0) -> None:
        """Write pieces one after the other from offset `at` of a slot on, then commit everything below `count`.

        `rows` is the number of rows below `count`.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered. Nothing was committed.
        """
        self.scatter((slot,), pieces, at)
        self.commit(slot, count, rows)

    def fill(self, slot: int, at: int, data: bytes) -> None:
        """Write bytes of a slot that no count covers yet: the head or the dictionary of a table.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered. Nothing was written.
        """
        begin = self.ring.geometry.slot_offset(slot) + at
        end = begin + len(data)
        memory, alive, armed = self._memory, self.alive, self.armed
        if not alive[armed]:
            raise ForkedError
        memory[begin:end] = data

    def scatter(self, slots: Sequence[int], pieces: Iterable[bytes | memoryview], at: int = 0) -> None:
        """Write pieces one after the other over slots, from offset `at` of the first slot on. `commit` follows.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered.
        """
        memory, capacity, slot_offset = self._memory, self.ring.geometry.slot_bytes, self.ring.geometry.slot_offset
        alive, armed = self.alive, self.armed
        number = 0
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if at == capacity:
                    number, at = number + 1, 0
                n = min(len(view), capacity - at)
                begin = slot_offset(slots[number]) + at
                part, view = view[:n], view[n:]
                at += n
                end = begin + n
                if not alive[armed]:
                    raise ForkedError
                memory[begin:end] = part

    def join(self, slots: Iterable[int]) -> None:
        """Turn slots claimed as heads into parts of a chain. The chain's head must not have a count yet.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered.
        """
        words, first, alive, armed = self._words, self._first_line + Line.KIND, self.alive, self.armed
        for slot in slots:
            index = first + slot * LINE_WORDS
            if not alive[armed]:
                raise ForkedError
            words[index] = Kind.PART

    def commit(self, slot: int, count: int, rows: int = 0) -> None:
        """Store the count: everything below it is committed. `rows` is the number of rows below it, for accounts.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered. Nothing was committed.
        """
        words, index, rows_index = self._words, self.ring.count_word(slot), self.ring.rows_word(slot)
        alive, armed = self.alive, self.armed
        if not alive[armed]:
            raise ForkedError
        words[rows_index] = rows
        if self._fences:
            fence()
        if not alive[armed]:
            raise ForkedError
        words[index] = count

    def seal(self, slot: int) -> None:
        """Give a slot to the collector. The owner must not touch it again."""
        states, word = self._states, self.owner | SlotState.SEALED
        if self._fences:
            fence()
        if self.alive[self.armed]:
            states[slot] = word

    def abandon(self, slots: Iterable[int]) -> None:
        """Give back slots that a claim tried. Slots that never became the owner's stay as they are."""
        states, mine, word = self._states, self.owner | SlotState.OPEN, self.owner | SlotState.ABANDONED
        alive, armed = self.alive, self.armed
        for slot in slots:
            if alive[armed] and states[slot] == mine:
                states[slot] = word


def positions(snapshot: list[int], wanted: int, start: int, most: int) -> Iterator[int]:
    """Yield up to `most` slots in the `wanted` state, from `start` on and round the ring."""
    for begin, end in ((start, len(snapshot)), (0, start)):
        at = begin
        while most > 0:
            try:
                at = snapshot.index(wanted, at, end)
            except ValueError as error:
                if not is_own(error):
                    raise
                break
            yield at
            most -= 1
            at += 1
