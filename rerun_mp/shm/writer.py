"""A producer's side of the ring: claim, write and commit, seal, abandon.

Every store into the segment is preceded by a look at the fork guard with no call and no backward jump in between: the
interpreter runs signal handlers, and with them forks, only at such places. So a child that was forked in the middle of
a call stores nothing into its parent's slots; it gets `ForkedError` and begins again with a producer of its own.
tests/shm/test_writer.py checks that on the bytecode of each Python version.

Called by the owner under its own mutex, or for slots that no other call of the process knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from rerun_mp.shm.layout import LINE_WORDS, Kind, Line, SlotState
from rerun_mp.shm.ring import Ring

__all__ = ["ForkedError", "SlotWriter"]

CANDIDATES = 16
"""How many slots a claim tries beyond those that it wants before it says that there are no more."""


class ForkedError(Exception):
    """This call began in the parent of the process that it now runs in. Never reaches the user."""


class SlotWriter:
    """Writes into slots of a ring as one owner."""

    __slots__ = ("_first_line", "alive", "armed", "owner", "ring")

    def __init__(self, ring: Ring, owner: int, alive: memoryview, armed: int) -> None:
        """Write as `owner` (`layout.pack_owner`) as long as byte `armed` of `alive` is not 0."""
        self.ring = ring
        self.owner = owner
        self.alive = alive
        self.armed = armed
        self._first_line = ring.geometry.line_word(0)

    @property
    def is_intact(self) -> bool:
        """False in a process forked since the owner registered."""
        return self.alive[self.armed] == 1

    def claim(
        self,
        kinds: Sequence[int],
        start: int,
        lock: Callable[[int], bool],
        reserve: Callable[[int], bool],
        tried: list[int] | None = None,
    ) -> list[int]:
        """Make free slots the owner's, one for each of `kinds`; return fewer where there are no more.

        Parameters
        ----------
        kinds
            A `layout.Kind` for each slot.
        start
            Where to begin to look, so that producers do not all try the same slot.
        lock
            Takes the lock of a slot without waiting. It stays held until the caller lets all of them go, after
            this has returned.
        reserve
            Reserves memory for a slot that nobody has touched, under its lock. False: there is none.
        tried
            Each slot is noted here before it can become the owner's, for `abandon`.
        """
        words, states = self.ring.words, self.ring.states
        alive, armed, mine = self.alive, self.armed, self.owner | SlotState.OPEN
        snapshot = states.tolist()
        claimed: list[int] = []
        # A used slot first: the ring takes only as much memory as the load needs.
        for wanted in (SlotState.FREE, SlotState.UNTOUCHED):
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

        `rows` is how many rows all that is below `count` has.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered. Nothing was committed.
        """
        self.scatter((slot,), pieces, at)
        self.commit(slot, count, rows)

    def fill(self, slot: int, at: int, data: bytes) -> None:
        """Write at offset `at` of a slot what no count says yet to exist: the head or the dictionary of a table.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered. Nothing was written.
        """
        begin = self.ring.geometry.slot_offset(slot) + at
        end = begin + len(data)
        memory, alive, armed = self.ring.memory, self.alive, self.armed
        if not alive[armed]:
            raise ForkedError
        memory[begin:end] = data

    def scatter(self, slots: Sequence[int], pieces: Iterable[bytes | memoryview], at: int = 0) -> None:
        """Write pieces one after the other over slots, from offset `at` of the first on, before the `commit`.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered.
        """
        memory, capacity, slot_offset = self.ring.memory, self.ring.geometry.slot_bytes, self.ring.geometry.slot_offset
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
        """Make slots, claimed as heads, parts of a chain whose head has no count yet.

        Raises
        ------
        ForkedError
            In a process forked since the owner registered.
        """
        words, first, alive, armed = self.ring.words, self._first_line + Line.KIND, self.alive, self.armed
        for slot in slots:
            index = first + slot * LINE_WORDS
            if not alive[armed]:
                raise ForkedError
            words[index] = Kind.PART

    def commit(self, slot: int, count: int, rows: int = 0) -> None:
        """Store the count: everything below it exists from now on. `rows` is how many rows that is, for accounts."""
        words, index, rows_index = self.ring.words, self.ring.count_word(slot), self.ring.rows_word(slot)
        alive, armed = self.alive, self.armed
        if not alive[armed]:
            raise ForkedError
        words[rows_index] = rows
        words[index] = count

    def seal(self, slot: int) -> None:
        """Give a slot to the collector. The owner never touches it again."""
        states, word = self.ring.states, self.owner | SlotState.SEALED
        if self.alive[self.armed]:
            states[slot] = word

    def abandon(self, slots: Iterable[int]) -> None:
        """Give back slots that were claimed in vain, as far as a claim got to its OPEN store."""
        states, mine, word = self.ring.states, self.owner | SlotState.OPEN, self.owner | SlotState.ABANDONED
        alive, armed = self.alive, self.armed
        for slot in slots:
            if alive[armed] and states[slot] == mine:
                states[slot] = word


def positions(snapshot: list[int], wanted: int, start: int, most: int) -> Iterator[int]:
    """Yield up to `most` slots in the `wanted` state, from `start` on and going round."""
    for begin, end in ((start, len(snapshot)), (0, start)):
        at = begin
        while most > 0:
            try:
                at = snapshot.index(wanted, at, end)
            except ValueError:
                break
            yield at
            most -= 1
            at += 1
