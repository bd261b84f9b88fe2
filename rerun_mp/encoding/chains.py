"""Chains: a message that is larger than a slot and lies in several.

The first slot is the head. It begins with a preamble, and the message follows. The message continues in the other
slots, the parts, each from its first byte. The preamble names the parts with their epochs: if a collector dies between
freeing two parts, the next one can tell which parts it still has to free::

    ┌────────────────┬─────────────────┬───────────────────────────────────┬────────────────┬──────────────
    │ u32 parts      │ u32 unused      │ parts x (u32 slot, u32 low epoch) │ u64 size       │ message ...
    └────────────────┴─────────────────┴───────────────────────────────────┴────────────────┴──────────────

Parts stay OPEN. Their bytes do not exist before the head's count is 1. The collector frees parts and head together.
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
    """Return the bytes of the preamble of a chain with this number of parts."""
    return COUNT.size + PART.size * parts + SIZE.size


def chain_slots(total: int, capacity: int) -> int:
    """Return the number of slots of `capacity` bytes that a message of `total` bytes takes."""
    # Each part adds `capacity` bytes of room and costs one entry in the preamble.
    parts = max(0, -(-(total + preamble_bytes(0) - capacity) // (capacity - PART.size)))
    return parts + 1


def pack_chain(parts: Sequence[tuple[int, int]], total: int) -> bytes:
    """Return the preamble of a message of `total` bytes. `parts` are (slot, epoch)."""
    entries = b"".join(PART.pack(slot, epoch & EPOCH_MASK) for slot, epoch in parts)
    return COUNT.pack(len(parts), 0) + entries + SIZE.pack(total)


def unpack_chain(head: memoryview, slots: int, capacity: int) -> tuple[list[tuple[int, int]], int, int]:
    """Read a preamble from a private copy of the head's beginning.

    Parameters
    ----------
    head
        At least as many bytes as the longest preamble in a ring of `slots` slots.
    slots, capacity
        Number of slots in the ring, and bytes of each.

    Returns
    -------
    tuple
        Parts as (slot, low 32 bits of the epoch), the bytes of the message, and the offset at which it begins.

    Raises
    ------
    CorruptionError
        If the bytes are no preamble of a chain in this ring.
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
