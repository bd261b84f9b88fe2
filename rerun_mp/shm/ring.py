"""The ring: claim, commit, seal, take and free slots, over any writable buffer.

Invariants, each asserted by the model test:

I1  every shared word has one writing process at a time (`layout` names it);
I2  bytes below the count never change until the slot is freed;
I3  done <= taken <= count <= capacity, each only growing within an epoch;
I4  a returned `log()` is below the count;
I5  ownership moves only on release or on kernel-proven death;
I6  a producer waits for space and for nothing else.

Memory order. A producer stores payload first and the count last, by one aligned 8-byte store. On x86-64 a reader that
sees the count sees the payload. On weakly ordered machines a fence belongs between them; `fence` names the place.

The producer's side is `writer.SlotWriter`. The collector's methods (`take`, `done`, `seal_dead`, `free`, `offer_again`,
`add_total`) are called by the one worker that holds the WORKER lease, the others by anybody.
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

__all__ = ["Ring"]


class Ring:
    """One segment's words and slots. Holds no state of its own, so that any number of processes may have one."""

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
    ) -> None:
        """Write the header of a new segment. Everything else is zero, which means free and never touched."""
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
        words[Header.FREE_SLOTS] = geometry.slots
        words[Header.USABLE_SLOTS] = geometry.slots
        words[Header.MAGIC] = MAGIC

    def has_room_to_keep(self) -> bool:
        """Say whether a producer may keep a slot open between calls: three quarters of the usable ones are not held.

        So a quarter always goes round, free or soon to be freed, however many processes keep what they have. Asked
        after the OPEN store of the slot in question, so that of many who ask at once the last sees all.
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
        """Return (slot, epoch, count) of what a producer, or anybody, has committed and the store may not have yet."""
        slots = range(self.geometry.slots) if owner is None else self.owner_slots(owner)
        found = []
        for slot in slots:
            line = self.geometry.line_word(slot)
            if self.words[line + Line.COUNT]:
                found.append((slot, self.words[line + Line.EPOCH], self.words[line + Line.COUNT]))
        return found

    # ---- collector's side ------------------------------------------------------------------------------------------

    def take(self, slot: int, sweep: int, taken: int) -> None:
        """Note that sweep number `sweep` takes a slot up to `taken`, over the older of the two words.

        A sweep that is repeated writes the word again that it had written; the other one says what is done.
        """
        line = self.geometry.line_word(slot)
        a, b = self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]
        other = Line.TAKEN_A if a >> TAKEN_BITS == sweep or (a <= b and b >> TAKEN_BITS != sweep) else Line.TAKEN_B
        self.words[line + other] = sweep << TAKEN_BITS | taken

    def done(self, slot: int, sweep: int | None = None) -> int:
        """Return how far a slot is in the store: its greatest `taken` whose sweep is not above the last one done.

        `sweep` is that number, if the caller knows it better than the header.
        """
        sweep = self.words[Header.SWEEP_DONE] if sweep is None else sweep
        line = self.geometry.line_word(slot)
        a, b = self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]
        return max((word & TAKEN_MASK for word in (a, b) if word >> TAKEN_BITS <= sweep), default=0)

    def in_flight(self, slot: int, sweep: int | None = None) -> int | None:
        """Return the `taken` of the sweep that follows the last done one, or None if it had not got to this slot.

        `sweep` as in `done`.
        """
        sweep = (self.words[Header.SWEEP_DONE] if sweep is None else sweep) + 1
        line = self.geometry.line_word(slot)
        for word in (self.words[line + Line.TAKEN_A], self.words[line + Line.TAKEN_B]):
            if word >> TAKEN_BITS == sweep:
                return word & TAKEN_MASK
        return None

    def seal_dead(self, slot: int, state_word: int) -> None:
        """Take a slot over from an owner whose lease the kernel has freed."""
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
        self.states[slot] = SlotState.FREE

    def count_up(self, word: int, number: int) -> None:
        """Add to a word that only the collector writes. It stays at its greatest value, which only damage brings."""
        self.words[word] = min(self.words[word] + number, MAX_WORD)

    def offer_again(self) -> None:
        """Let producers try again to reserve memory for slots that had none."""
        states = self.states
        for slot, state in enumerate(states.tolist()):
            if state == SlotState.UNUSABLE:
                states[slot] = SlotState.UNTOUCHED

    def rows_word(self, slot: int) -> int:
        """Return the index in `words` of how many rows a slot's frames have."""
        return self.geometry.line_word(slot) + Line.ROWS

    def add_total(self, producer: int, sweep: int, rows: int, word: int = ProducerWord.TOTAL) -> None:
        """Note that sweep `sweep` brings `rows` more rows of a producer, over the older of its two pairs of words.

        `word` is the first of the four: TOTAL of rows delivered, DAMAGE of rows damaged. The rows are stored before
        the sweep's number: a collector that dies in between leaves a pair that is still older than the other one. A
        sweep that is repeated writes the same pair again.
        """
        entry = self.geometry.producer_word(producer) + word
        current = self._current(entry, sweep - 1)
        older = 2 * entry + 2 - current
        self.words[older] = min(self.words[current] + rows, MAX_WORD)
        self.words[older + 1] = sweep

    def total(self, producer: int, word: int = ProducerWord.TOTAL, sweep: int | None = None) -> int:
        """Return how many rows of a producer are in the store, or damaged, by the last sweep that is done.

        `word` as in `add_total`, `sweep` as in `done`.
        """
        entry = self.geometry.producer_word(producer) + word
        return self.words[self._current(entry, self.words[Header.SWEEP_DONE] if sweep is None else sweep)]

    def _current(self, entry: int, sweep: int) -> int:
        """Return the index of the pair (rows, sweep) at `entry` that counts when `sweep` is the last one done."""
        first, second = self.words[entry + 1], self.words[entry + 3]
        return entry + 2 if first < second <= sweep or second <= sweep < first else entry


def fence() -> None:
    """Where weakly ordered machines need a full fence between payload and commit. Nothing to do on x86-64.

    Not called on the hot path of x86-64. What holds elsewhere is argued in ARCHITECTURE.md, not tested.
    """
