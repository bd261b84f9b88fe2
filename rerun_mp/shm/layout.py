"""The segment, byte by byte. Every offset in the package comes from here.

::

    offset 0                    one page        4096                        + producers * 256
    ┌───────────────────────────────────────────┬───────────────────────────┬──────────────────────────┐
    │ header: identity, collector's words, ...  │ producers table           │ control table            │
    └───────────────────────────────────────────┴───────────────────────────┴──────────────────────────┘
    + slots * 64, rounded up to 64 KiB, the largest page
    ┌────────────┬────────────┬───────────────────────────────────────────────┬────────────┐
    │ slot 0     │ slot 1     │ ...                                           │ slot n - 1 │
    └────────────┴────────────┴───────────────────────────────────────────────┴────────────┘

    one line of the control table, 64 bytes             who writes it
      0  state     state | producer << 8 | generation << 24   claimer (FREE -> OPEN), owner (OPEN -> SEALED), or the
                                                        collector (dead owner: OPEN -> SEALED; SEALED -> FREE)
      8  count     committed bytes (frames), rows (tables), 1 (head of a chain)    owner; cleared by the collector
     16  epoch     how often the slot was freed         collector
     24  taken A   sweep << 28 | taken                  collector
     32  taken B   sweep << 28 | taken                  collector
     40  kind      what the slot holds                  claimer, before it stores OPEN
     48  rows      rows of the committed frames (a table's count is its rows)     owner, before it stores the count
     56  spare

    one entry of the producers table, 256 bytes
      0  state     FREE or LIVE | generation << 8       new producer under its lock; collector (FREE)
      8  pid       for display; never proof of life                       new producer
     16  started   nanoseconds since the epoch                            new producer
     24  dropped   rows that the policy dropped                           producer
     32  blocked   nanoseconds spent waiting for space                    producer
     40  total     rows A, sweep A, rows B, sweep B: rows in the store    collector
                   as of that sweep; stores the rows before the sweep
     72  first row counter half of its first row id: identifies its rows  new producer
     80  refused   rows whose call raised RingFullError                   producer
     88  scope     token of the scope whose sinks take its rows, or 0     new producer
     96  left      1 once it has left the session normally           producer
    104  damage    as total, for damaged rows                             collector
    136  spare, 56 bytes
    192  name      UTF-8, padded with zeros, 64 bytes                     new producer

All words are unsigned, 8 bytes, 8-aligned, little-endian, stored and loaded through a `memoryview` cast to "Q": one
machine store, never torn. `struct.pack_into` zeroes the field first and is never used on a shared word.

The states of a slot, and which process changes them::

    UNTOUCHED --claimer, pages reserved--> OPEN            UNUSABLE: no memory for its pages; the collector tries again
    FREE ------claimer, under the slot's lock--> OPEN
    OPEN ------owner; or collector once the owner's lease is free--> SEALED
    OPEN ------owner, after an exception--> ABANDONED
    SEALED, ABANDONED --collector, when the store has all rows--> FREE, epoch + 1
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "MAGIC",
    "PAGE",
    "Attention",
    "Geometry",
    "Header",
    "Kind",
    "Line",
    "Lock",
    "ProducerWord",
    "SessionState",
    "SlotState",
    "pack_owner",
    "root_of",
    "unpack_owner",
]

MAGIC = 0x31_70_6D_5F_6E_75_72_72  # "rrun_mp1"
VERSION = 2
PAGE = 4096
LARGEST_PAGE = 1 << 16
"""Bytes of the largest memory page of a supported machine. The first slot begins at a multiple of it."""
WORD = 8
LINE_BYTES = 64
PRODUCER_BYTES = 256
LINE_WORDS = LINE_BYTES // WORD
PRODUCER_WORDS = PRODUCER_BYTES // WORD
NAME_OFFSET = 192
NAME_BYTES = 64


class Header:
    """Word indices in the header page. The creator writes each word once, unless another writer is named.

    Every version of the format keeps magic, version and nonce at these places.
    """

    MAGIC = 0
    VERSION = 1
    TOTAL_BYTES = 2
    SLOT_BYTES = 3
    SLOTS = 4
    PRODUCERS = 5
    NONCE_LOW = 6
    NONCE_HIGH = 7
    POLICY = 8
    BLOCK_TIMEOUT_NS = 9
    CREATED_NS = 10
    FLUSH_TICK_NS = 11
    SPOOL_BYTES = 12
    ORDERING = 13
    """How memory order is kept, see `ordering`."""
    ROOT = 14
    """The session continues the recordings of this root session: the beginning of its nonce. 0: its own nonce."""
    FOUNDER = 15
    """Mark of the program that the founder runs (`session.kinship.program_mark`), which forked children share; or 0."""

    SWEEP_DONE = 16
    """Number of the last sweep that is wholly in the store. Collector; this one store makes the sweep done."""
    ATTENTION = 17
    """Bits of `Attention`: requests to producers, read after each commit; usually 0. Collector."""
    FREE_SLOTS = 18
    """Slots that were FREE or UNTOUCHED at the last sweep: a hint, never proof. Collector."""
    CONFIG_APPLIED = 19
    """Revision of the configuration in force. Collector."""
    WORKER_PID = 20
    """Process id of the worker, for display and watching; only its lease proves that it lives. Collector."""
    WORKER_LIVES = 21
    """Number of workers that this session has had. Collector."""
    SESSION_STATE = 22
    """A `SessionState`. Collector."""
    DAMAGED_SLOTS = 23
    """Number of slots that held unreadable bytes. Collector."""
    USABLE_SLOTS = 24
    """Slots that were not UNUSABLE at the last sweep: a hint, as FREE_SLOTS. Creator, then collector."""
    PAUSED = 25
    """Number of calls of `pause` and `resume` so far if a recording is paused, else 0. Collector."""

    DROPPED = 48
    """Rows that the session has dropped, a word for each of `accounts.REASONS`. Collector; exact at the end."""
    INCOMPLETE_FILES = 56
    """Files that could not be completed, so that rows of them remain in the spool. Collector, at the end."""

    GUARD_PID = 32
    """Process id of the guard, for display. Guard."""
    FAILED_STARTS = 33
    """Workers in a row that ended before they were ready, or by an error before they had stored a row. Guard."""
    NO_START_BEFORE = 34
    """Monotonic clock in nanoseconds until which the guard starts no worker, because the last ones failed. Guard."""
    IS_AWAY = 36
    """1: guard and worker have ended because the program waits for its children; see `adoption`. Collector; the
    process that starts the next collector stores 0."""
    READY_WORKERS = 35
    """Workers that have read the configuration and opened their stores. Collector."""

    CONFIG_REVISION = 40
    """Revision of the newest configuration file. The process that holds the CONFIG lock."""

    RUNTIME_DIRECTORY = 1024
    """Byte offset of a path: length (u64), then UTF-8. Creator."""
    SPOOL_DIRECTORY = 2560
    """Byte offset of a path: length (u64), then UTF-8. Creator."""
    PATH_BYTES = 1500
    """Maximum length of such a path in bytes."""

    IDENTITY = (slice(0, 8 * (FOUNDER + 1)), slice(RUNTIME_DIRECTORY, SPOOL_DIRECTORY + 8 + PATH_BYTES))
    """Slices of the header that only the creator writes."""


class Attention:
    """Bits of the header's ATTENTION word."""

    SLEEPING = 1
    """The collector sleeps: ring the doorbell."""
    PRESSURE = 2
    """Few slots are free, and producers hold more than half of the usable slots open: seal before returning."""
    PAUSED = 4
    """A recording is paused: before the next row, check whether it is the row's."""


class Line:
    """Word indices in a control line."""

    STATE = 0
    COUNT = 1
    EPOCH = 2
    TAKEN_A = 3
    TAKEN_B = 4
    KIND = 5
    ROWS = 6


class ProducerWord:
    """Word indices in an entry of the producers table."""

    STATE = 0
    PID = 1
    STARTED_NS = 2
    DROPPED = 3
    BLOCKED_NS = 4
    TOTAL = 5
    """First of four words: rows A, sweep A, rows B, sweep B. See `Ring.add_total`."""
    FIRST_ROW = 9
    REFUSED = 10
    SCOPE = 11
    LEFT = 12
    DAMAGE = 13
    """First of four words, as TOTAL."""

    PAIRS = 4
    """Number of words of TOTAL, and of DAMAGE."""


class SlotState:
    """The low byte of a control line's state word. UNTOUCHED, FREE and UNUSABLE stand alone in the word."""

    UNTOUCHED = 0
    FREE = 1
    OPEN = 2
    SEALED = 3
    ABANDONED = 4
    UNUSABLE = 5


class ProducerState:
    """The low byte of a producer's state word; the generation lies above it."""

    FREE = 0
    LIVE = 1


class SessionState:
    """Stage of the session's life, which the collector sets."""

    LIVE = 0
    ENDING = 1
    FILES_COMPLETE = 2
    REMOVING = 3
    """Every sink has its rows; the collector opens nothing more."""
    ENDED = 4


class Kind:
    """Kind of a slot's contents."""

    FRAMES = 1
    HEAD = 2
    """First slot of a chain: names the parts, then the message begins."""
    PART = 3
    """Further slot of a chain; meaningless without its head."""
    TABLE = 4
    """An Arrow record batch growing in place."""


class Lock:
    """Byte offsets of the locks. All are on the segment's own inode, far beyond its data."""

    BASE = 1 << 40
    PARTICIPANTS = BASE
    STARTER = BASE + 1
    GUARD = BASE + 2
    WORKER = BASE + 3
    CONFIG = BASE + 4
    PRODUCERS = BASE + (1 << 20)
    SLOTS = BASE + (1 << 30)

    LIVES = 4
    """Bytes from BASE on of which a living session locks one: participant, starter, guard or worker."""


PRODUCER_BITS = 16
GENERATION_MASK = (1 << 40) - 1
TAKEN_BITS = 28
TAKEN_MASK = (1 << TAKEN_BITS) - 1
MAX_SWEEPS = 1 << (64 - TAKEN_BITS - 1)
"""Bound of the sweep number; a greater one is damage. At a thousand sweeps a second it takes a year to get there."""
MAX_WORD = (1 << 64) - 1


def root_of(words: memoryview) -> bytes:
    """Return the root in a header's words."""
    return int(words[Header.ROOT] or words[Header.NONCE_LOW]).to_bytes(8, "little")


def pack_owner(producer: int, generation: int) -> int:
    """Return the owner's part of a state word; or it with a `SlotState`."""
    return (producer << 8) | ((generation & GENERATION_MASK) << 24)


def unpack_owner(state_word: int) -> tuple[int, int]:
    """Return (producer, generation) of a state word."""
    return (state_word >> 8) & 0xFFFF, state_word >> 24


class Geometry(NamedTuple):
    """Sizes of a segment, from which every offset follows."""

    slot_bytes: int
    slots: int
    producers: int

    @property
    def producers_offset(self) -> int:
        """Offset of the producers table in bytes."""
        return PAGE

    @property
    def control_offset(self) -> int:
        """Offset of the control table in bytes."""
        return PAGE + self.producers * PRODUCER_BYTES

    @property
    def slots_offset(self) -> int:
        """Offset of the first slot in bytes, a whole number of pages."""
        end = self.control_offset + self.slots * LINE_BYTES
        return -(-end // LARGEST_PAGE) * LARGEST_PAGE

    @property
    def total_bytes(self) -> int:
        """Size of the segment in bytes."""
        return self.slots_offset + self.slots * self.slot_bytes

    def slot_offset(self, slot: int) -> int:
        """Offset of a slot's first byte."""
        return self.slots_offset + slot * self.slot_bytes

    def line_word(self, slot: int) -> int:
        """Index of the first word of a slot's control line."""
        return self.control_offset // WORD + slot * LINE_WORDS

    def producer_word(self, producer: int) -> int:
        """Index of the first word of a producer's entry."""
        return PAGE // WORD + producer * PRODUCER_WORDS

    def check(self) -> str | None:
        """Return what is wrong with these numbers, or None."""
        if self.slot_bytes < PAGE or self.slot_bytes % PAGE or self.slot_bytes > TAKEN_MASK:
            return f"slot size {self.slot_bytes} is not a whole number of pages between {PAGE} and {TAKEN_MASK}"
        if not 2 <= self.slots <= 1 << 20:
            return f"{self.slots} slots are not between 2 and {1 << 20}"
        if not 1 <= self.producers < 1 << PRODUCER_BITS:
            return f"{self.producers} producers are not between 1 and {(1 << PRODUCER_BITS) - 1}"
        return None
