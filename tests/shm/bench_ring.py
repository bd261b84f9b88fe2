"""A ring on a bytearray, for tests that need no kernel."""

from __future__ import annotations

from collections.abc import Callable

from rerun_mp.shm.layout import LINE_WORDS, Geometry, pack_owner
from rerun_mp.shm.ring import Ring
from rerun_mp.shm.writer import SlotWriter

GEOMETRY = Geometry(slot_bytes=4096, slots=8, producers=4)


def make_ring(geometry: Geometry = GEOMETRY) -> Ring:
    """Return a formatted ring in memory of its own."""
    ring = Ring(memoryview(bytearray(geometry.total_bytes)), geometry)
    ring.format(bytes(range(16)), policy=0, block_timeout_ns=0, flush_tick_ns=0, created_ns=1)
    return ring


def make_writer(ring: Ring, producer: int = 0, generation: int = 1) -> tuple[SlotWriter, bytearray]:
    """Return a writer and the byte that says whether its process was forked (0) since."""
    alive = bytearray(b"\x01")
    return SlotWriter(ring, pack_owner(producer, generation), memoryview(alive), 0), alive


def claim_one(
    writer: SlotWriter,
    kind: int,
    start: int,
    lock: Callable[[int], bool],
    reserve: Callable[[int], bool],
    tried: list[int] | None = None,
) -> int | None:
    """Claim one slot, if there is any."""
    slots = writer.claim((kind,), start, lock, reserve, tried)
    return slots[0] if slots else None


def always(_slot: int) -> bool:
    """Lock or reserve whatever is asked for."""
    return True


class Stores:
    """Words that note the index of each store, in order."""

    def __init__(self, words: memoryview, made: list[int], first: int, step: int) -> None:
        self._words = words
        self._made = made
        self._first, self._step = first, step

    def __getitem__(self, index: int) -> int:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        self._made.append(self._first + index * self._step)
        self._words[index] = value

    def tolist(self) -> list[int]:
        """Return all of them."""
        return self._words.tolist()


def watch(ring: Ring, writer: SlotWriter | None = None) -> list[int]:
    """Return the list to which ring and writer add the index in `words` of each store from now on."""
    made: list[int] = []
    ring.words = Stores(ring.words, made, 0, 1)  # type: ignore[assignment]
    ring.states = Stores(ring.states, made, ring.geometry.line_word(0), LINE_WORDS)  # type: ignore[assignment]
    if writer is not None:
        writer._words, writer._states = ring.words, ring.states
    return made
