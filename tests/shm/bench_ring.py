"""A ring on a bytearray, for tests that need no kernel."""

from __future__ import annotations

from collections.abc import Callable

from rerun_mp.shm.layout import Geometry, pack_owner
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
