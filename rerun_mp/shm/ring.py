"""The ring: claim, commit, seal, take and free slots, over any writable buffer.

Invariants, each asserted by the model test:

I1  every shared word has one writing process at a time (`layout` names it);
I2  bytes below the count never change until the slot is freed;
I3  done <= taken <= count <= capacity, and each only grows within an epoch;
I4  the rows of a `log()` that returned are below the count;
I5  a slot changes its owner only on release, or after the kernel has proven the owner's death;
I6  a producer waits for space and for nothing else.

Memory order. A producer stores payload first and the count last, by one aligned 8-byte store. On x86-64 a reader that
sees the count sees the payload. On other machines the collector calls `order_loads` at the places that `ordering`
names.

The producer's side is `writer.SlotWriter`. Only the worker that holds the WORKER lease may call `take`, `seal_dead`,
`free`, `count_up`, `offer_again` and `add_total`. Any process may call the methods that only read.
"""

from __future__ import annotations

from rerun_mp.shm.layout import (
    LINE_BYTES,
    LINE_WORDS,
    MAGIC,
    MAX_WORD,
    TAKEN_BITS,
    TAKEN_MASK,
    VERSION,
    WORD,
    Geometry,
    Header,
    Line,
    ProducerWord,
    SlotState,
)
from rerun_mp.shm.ordering import STRONG, order_loads

__all__ = ["Ring"]


class Ring:
    """One segment's words and slots. All state is in the segment, so that any number of processes may have a `Ring`."""

    __slots__ = ("_state_bytes", "geometry", "memory", "states", "words")

    def __init__(self, buffer: memoryview, geometry: Geometry) -> None:
        self.geometry = geometry
        self.memory = buffer.cast("B")
        """Every byte of the segment."""
        self.words = self.memory[: geometry.slots_offset].cast("Q")
        """Header, producers and control lines as words."""
        first = geometry.line_word(0)
        self.states = self.words[first : first + geometry.slots * LINE_WORDS : LINE_WORDS]
        """The state words of all slots."""
        self._state_bytes = self.memory[first * WORD : (first + geometry.slots * LINE_WORDS) * WORD : LINE_BYTES]
        """Their low bytes: the `SlotState` of each."""

    def format(
        self,
        nonce: bytes,
        *,
        policy: int,
        block_timeout_ns: int,
        flush_tick_ns: int,
        created_ns: int,
        spool_bytes: int = 0,
        ordering: int = STRONG,
        root: bytes = b"",
        founder: int = 0,
    ) -> None:
        """Write the header of a new segment. All other words stay zero: every slot UNTOUCHED, every producer FREE."""
        words, geometry = self.words, self.geometry
        words[Header.VERSION] = VERSION
        words[Header.TOTAL_BYTES] = geometry.total_bytes
        words[Header.SLOT_BYTES] = geometry.slot_bytes
        words[Header.SLOTS] = geometry.slots
        words[Header.PRODUCERS] = geometry.producers
        words[Header.NONCE_LOW] = int.from_bytes(nonce[:8], "little")
        words[Header.NONCE_HIGH] = int.from_bytes(nonce[8:16], "little")
        words[Header.POLICY] = policy
        words[Header.BLOCK_TIMEOUT_NS] = block_timeout_ns
        words[Header.FLUSH_TICK_NS] = flush_tick_ns
        words[Header.CREATED_NS] = created_ns
        words[Header.SPOOL_BYTES] = spool_bytes
        words[Header.ORDERING] = ordering
        words[Header.ROOT] = int.from_bytes(root or nonce[:8], "little")
        words[Header.FOUNDER] = founder
        words[Header.FREE_SLOTS] = geometry.slots
        words[Header.USABLE_SLOTS] = geometry.slots
        words[Header.MAGIC] = MAGIC

    def has_room_to_keep(self) -> bool:
        """Say whether a producer may keep a slot open between calls: at most 3/4 of the usable slots are open.

        So at least a quarter is free or soon to be freed, however many processes keep a slot. A producer asks after it
        has stored OPEN for the slot in question. So if many producers ask at once, the last one sees all the slots.
        """
        states = self._state_bytes.tobytes()
        return states.count(SlotState.OPEN) * 4 <= (len(states) - states.count(SlotState.UNUSABLE)) * 3

    def count_word(self, slot: int) -> int:
        """Return the index in `words` of a slot's count."""
        return self.geometry.line_word(slot) + Line.COUNT

    def owner_slots(self, owner: int) -> list[int]:
        """Return the slots that a producer (`layout.pack_owner`) has claimed and the collector has not freed."""
        return [slot for slot, state in enumerate(self.states.tolist()) if state > 0xFF and state & ~0xFF == owner]

    def pending(self, owner: int | None = None) -> list[tuple[int, int, int]]:
        """Return (slot, epoch, count) of each slot of a producer, or of all, whose rows may not be in the store yet."""
        slots = range(self.geometry.slots) if owner is None else self.owner_slots(owner)
        found = []
        for slot in slots:
            line = self.geometry.line_word(slot)
            if self.words[line + Line.COUNT]:
                found.append((slot, self.words[line + Line.EPOCH], self.words[line + Line.COUNT]))
        return found

    # ---- collector's side ------------------------------------------------------------------------------------------

    def take(self, slot: int, sweep: int, taken: int) -> None:
        """Store in the older of the two words that sweep number `sweep` takes a slot up to `taken`.

        A repeated sweep overwrites its own word again. The other word states what is done.
        """
        line = self.geometry.line_word(slot)
        a, b = self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]
        other = Line.TAKEN_A if a >> TAKEN_BITS == sweep or (a <= b and b >> TAKEN_BITS != sweep) else Line.TAKEN_B
        self.words[line + other] = sweep << TAKEN_BITS | taken

    def done(self, slot: int, sweep: int | None = None) -> int:
        """Return how far a slot is in the store: its greatest `taken` of a sweep that is done.

        `sweep` replaces the header's number of the last sweep done, if the caller knows a better one.
        """
        sweep = self.words[Header.SWEEP_DONE] if sweep is None else sweep
        line = self.geometry.line_word(slot)
        a, b = self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]
        return max((word & TAKEN_MASK for word in (a, b) if word >> TAKEN_BITS <= sweep), default=0)

    def in_flight(self, slot: int, sweep: int | None = None) -> int | None:
        """Return the `taken` of the sweep after the last one done. None: that sweep has not reached this slot.

        `sweep` as in `done`.
        """
        sweep = (self.words[Header.SWEEP_DONE] if sweep is None else sweep) + 1
        line = self.geometry.line_word(slot)
        for word in (self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]):
            if word >> TAKEN_BITS == sweep:
                return word & TAKEN_MASK
        return None

    def seal_dead(self, slot: int, state_word: int) -> None:
        """Seal a slot for an owner that is dead: the kernel has freed its lease."""
        self.states[slot] = (state_word & ~0xFF) | SlotState.SEALED

    def free(self, slot: int) -> None:
        """Return a slot to the producers. The line is cleared first and the state stored last."""
        words = self.words
        line = self.geometry.line_word(slot)
        words[line + Line.EPOCH] = (words[line + Line.EPOCH] + 1) & MAX_WORD
        words[line + Line.COUNT] = 0
        words[line + Line.TAKEN_A] = 0
        words[line + Line.TAKEN_B] = 0
        words[line + Line.ROWS] = 0
        self.order_loads()
        self.states[slot] = SlotState.FREE

    def order_loads(self) -> None:
        """Order what the collector has loaded and stored so far with what follows. See `ordering`."""
        way = self.words[Header.ORDERING]
        if way != STRONG:
            order_loads(way)

    def count_up(self, word: int, number: int) -> None:
        """Add to a word that only the collector writes, up to the greatest word. Only damage brings it there."""
        self.words[word] = min(self.words[word] + number, MAX_WORD)

    def offer_again(self) -> None:
        """Mark UNUSABLE slots as UNTOUCHED, so that producers try again to reserve memory for them."""
        states = self.states
        for slot, state in enumerate(states.tolist()):
            if state == SlotState.UNUSABLE:
                states[slot] = SlotState.UNTOUCHED

    def rows_word(self, slot: int) -> int:
        """Return the index in `words` of the number of rows in a slot's frames."""
        return self.geometry.line_word(slot) + Line.ROWS

    def add_total(self, producer: int, sweep: int, rows: int, word: int = ProducerWord.TOTAL) -> None:
        """Store in the older of a producer's two pairs of words that sweep `sweep` adds `rows` rows to its total.

        `word` is the first of the four words: TOTAL for rows in the store, DAMAGE for damaged rows. The rows are stored
        before the sweep's number. So a collector that dies in between leaves a pair that is still the older one. A
        repeated sweep overwrites its own pair again.
        """
        entry = self.geometry.producer_word(producer) + word
        current = self._current(entry, sweep - 1)
        older = 2 * entry + 2 - current
        self.words[older] = min(self.words[current] + rows, MAX_WORD)
        self.words[older + 1] = sweep

    def total(self, producer: int, word: int = ProducerWord.TOTAL, sweep: int | None = None) -> int:
        """Return how many rows of a producer are in the store, or damaged, after the last sweep done.

        `word` as in `add_total`, `sweep` as in `done`.
        """
        entry = self.geometry.producer_word(producer) + word
        return self.words[self._current(entry, self.words[Header.SWEEP_DONE] if sweep is None else sweep)]

    def _current(self, entry: int, sweep: int) -> int:
        """Return the index of the pair (rows, sweep) at `entry` that is valid when `sweep` is the last one done."""
        first, second = self.words[entry + 1], self.words[entry + 3]
        return entry + 2 if first < second <= sweep or second <= sweep < first else entry
