"""The end of a complete .rrd file: the END message, whose payload is the footer, and a trailer with its checksum.

    ┌─────────────────────────────────────────┐ ┌────────────────┬────────────────┬─────────────┬──────────────┐
    │ END message: a manifest of each store   │ │ offset (u64)   │ length (u64)   │ xxHash (u32)│ RRF2FOOT, 1  │
    └─────────────────────────────────────────┘ └────────────────┴────────────────┴─────────────┴──────────────┘

A manifest is a table with a row for each chunk: its place in the file, its entity, its times. Rerun's readers look for
one footer at the end, and take it for the index of the whole file. Any thread may call.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from rerun_mp.encoding.log_messages import field_head, fields_of
from rerun_mp.encoding.rrd_files import MESSAGE, TRAILER, MessageKind

__all__ = ["checksum", "end_file", "footer_of", "manifest", "manifests_in"]

STREAM_FOOTER = struct.Struct("<QQI12s")
"""Offset and length of the footer, its checksum, and the end of the file."""
END_OF_FILE = TRAILER + struct.pack("<I", 1)
CHECKSUM_SEED = 7850921
"""Rerun's seed of the footer's checksum."""
WORD = 0xFFFFFFFF
LANE_BITS = 64
STRIPE_BYTES = 16
MIXED_BYTES = 1 << 16
"""Bytes that numpy prepares at once for a checksum; a multiple of `STRIPE_BYTES`."""
PRIME_1, PRIME_2, PRIME_3, PRIME_4, PRIME_5 = 2654435761, 2246822519, 3266489917, 668265263, 374761393


def end_file(fd: int, footer: Sequence[Any]) -> None:
    """Write the END message at the present end of the file `fd`, with a footer given as pieces of bytes.

    Raises
    ------
    OSError
        If the file takes no more. The END message may be cut off then.
    """
    length = sum(memoryview(piece).nbytes for piece in footer)
    place = os.lseek(fd, 0, os.SEEK_END) + MESSAGE.size
    _write(fd, MESSAGE.pack(MessageKind.END, length))
    for piece in footer:
        _write(fd, piece)
    if length:
        _write(fd, STREAM_FOOTER.pack(place, length, checksum(footer, CHECKSUM_SEED), END_OF_FILE))


def footer_of(fd: int) -> bytes | None:
    """Return the footer of the open file; None if it has no valid one.

    It lies before the trailer. The offset in the trailer is another one if the writer's first bytes are elsewhere.
    """
    size = os.fstat(fd).st_size
    end = os.pread(fd, STREAM_FOOTER.size, max(0, size - STREAM_FOOTER.size))
    if len(end) < STREAM_FOOTER.size or not end.endswith(END_OF_FILE):
        return None
    _, length, expected, _ = STREAM_FOOTER.unpack(end)
    footer = os.pread(fd, length, max(0, size - STREAM_FOOTER.size - length))
    return footer if len(footer) == length and checksum([footer], CHECKSUM_SEED) == expected else None


def manifests_in(footer: bytes) -> Iterator[bytes]:
    """Yield the manifests in a footer. Raises ValueError if it is none."""
    yield from (value for field, value in fields_of(footer) if field == 1)


def manifest(head: bytes, table: Sequence[Any]) -> list[Any]:
    """Return a manifest in pieces, as a footer holds it: the fields before its table, and the table's pieces."""
    size = sum(memoryview(piece).nbytes for piece in table)
    head += field_head(4, size)
    return [field_head(1, len(head) + size) + head, *table]


def _write(fd: int, piece: Any) -> None:
    left = memoryview(piece).cast("B")
    while left:
        left = left[os.write(fd, left) :]


def checksum(pieces: Sequence[Any], seed: int) -> int:
    """Return the xxHash of 32 bits of bytes in pieces.

    Its definition: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
    """
    lanes = [(seed + PRIME_1 + PRIME_2) & WORD, (seed + PRIME_2) & WORD, seed, (seed - PRIME_1) & WORD]
    rest, length = b"", 0
    for piece in pieces:
        content = memoryview(piece).cast("B")
        length += len(content)
        if rest:
            missing = STRIPE_BYTES - len(rest)
            rest, content = rest + bytes(content[:missing]), content[missing:]
            if len(rest) < STRIPE_BYTES:
                continue
            lanes = _mix(memoryview(rest), lanes)
        whole = len(content) - len(content) % STRIPE_BYTES
        if whole:
            lanes = _mix(content[:whole], lanes)
        rest = bytes(content[whole:])
    mixed = seed + PRIME_5
    if length >= STRIPE_BYTES:
        mixed = sum(_turned(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True))
    mixed = (mixed + length) & WORD
    words = len(rest) & ~3
    for (word,) in struct.iter_unpack("<I", rest[:words]):
        mixed = _turned((mixed + word * PRIME_3) & WORD, 17) * PRIME_4 & WORD
    for byte in rest[words:]:
        mixed = _turned((mixed + byte * PRIME_5) & WORD, 11) * PRIME_1 & WORD
    mixed = (mixed ^ mixed >> 15) * PRIME_2 & WORD
    mixed = (mixed ^ mixed >> 13) * PRIME_3 & WORD
    return mixed ^ mixed >> 16


def _mix(content: memoryview, starts: Sequence[int]) -> list[int]:
    """Return the checksum's four lanes after a whole number of stripes.

    One number holds all lanes, 64 bits apart: a step then takes a third of the time that single lanes take.
    """
    import numpy as np

    lanes = sum(start << LANE_BITS * n for n, start in enumerate(starts))
    low_words = sum(WORD << LANE_BITS * n for n in range(4))
    for at in range(0, len(content), MIXED_BYTES):
        words = np.frombuffer(content[at : at + MIXED_BYTES], "<u4").astype("<u8")
        words *= PRIME_2
        words &= WORD
        raw = words.tobytes()
        for begin in range(0, len(raw), 2 * STRIPE_BYTES):
            lanes = (lanes + int.from_bytes(raw[begin : begin + 2 * STRIPE_BYTES], "little")) & low_words
            lanes = ((lanes << 13 | lanes >> 19) & low_words) * PRIME_1 & low_words
    return [lanes >> LANE_BITS * n & WORD for n in range(4)]


def _turned(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & WORD
