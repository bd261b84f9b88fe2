"""Chains: a message that is larger than a slot, over several.

The first slot, the head, begins with a preamble; the message follows it and goes on in the others, the parts, each
filled from its first byte. The preamble names the parts with their epochs, so that a collector that died between
freeing one part and the next can tell which of them it still has to free::

    ┌────────────────┬─────────────────┬───────────────────────────────────┬────────────────┬──────────────
    │ u32 parts      │ u32 unused      │ parts x (u32 slot, u32 low epoch) │ u64 size       │ message ...
    └────────────────┴─────────────────┴───────────────────────────────────┴────────────────┴──────────────

Parts stay OPEN; nothing of them exists before the head's count is 1, and the collector frees them with their head.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rerun_mp.errors import CorruptionError

__all__ = ["chain_slots", "pack_chain", "preamble_bytes", "unpack_chain"]

PART = struct.Struct("<II")
COUNT = struct.Struct("<II")
SIZE = struct.Struct("<Q")
EPOCH_MASK = (1 << 32) - 1


def preamble_bytes(parts: int) -> int:
    """Return the size of the preamble of a chain with so many parts."""
    return COUNT.size + PART.size * parts + SIZE.size


def chain_slots(total: int, capacity: int) -> int:
    """Return over how many slots of `capacity` bytes a message of `total` bytes goes."""
    # Each part brings `capacity` bytes of room and costs an entry in the preamble.
    parts = max(0, -(-(total + preamble_bytes(0) - capacity) // (capacity - PART.size)))
    return parts + 1


def pack_chain(parts: Sequence[tuple[int, int]], total: int) -> bytes:
    """Return the preamble for parts given as (slot, epoch) and a message of `total` bytes."""
    entries = b"".join(PART.pack(slot, epoch & EPOCH_MASK) for slot, epoch in parts)
    return COUNT.pack(len(parts), 0) + entries + SIZE.pack(total)


def unpack_chain(head: memoryview, slots: int, capacity: int) -> tuple[list[tuple[int, int]], int, int]:
    """Read a preamble from a private copy of the head's beginning.

    Parameters
    ----------
    head
        At least as much as the longest preamble for a ring of `slots` slots.
    slots, capacity
        How many slots there are, and their size in bytes.

    Returns
    -------
    tuple
        Parts as (slot, low 32 bits of the epoch), the message's size, and the offset at which it begins.

    Raises
    ------
    CorruptionError
        If it cannot be one.
    """
    (count, _) = COUNT.unpack_from(head, 0)
    begin = preamble_bytes(count)
    if count >= slots or begin > len(head):
        raise CorruptionError(f"a chain claims {count} parts")
    parts = list(PART.iter_unpack(head[COUNT.size : begin - SIZE.size]))
    (total,) = SIZE.unpack_from(head, begin - SIZE.size)
    if len({slot for slot, _ in parts}) != count or any(slot >= slots for slot, _ in parts):
        raise CorruptionError("a chain names a slot twice, or one that does not exist")
    if chain_slots(total, capacity) != count + 1:
        raise CorruptionError(f"a chain of {count + 1} slots claims {total} bytes")
    return parts, total, begin
