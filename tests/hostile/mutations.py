"""Mutations of a segment: flipped bits, hostile numbers, moved and doubled bytes, forged control lines.

A mutation draws only from the generator that it gets, so that a seed determines it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from rerun_mp.shm.layout import PAGE, Header, Line, ProducerWord, SlotState, pack_owner
from tests.hostile.victims import GEOMETRY, Victim

__all__ = ["EXTREMES", "mutate"]

EXTREMES = (
    *(0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
    *((1 << 32), (1 << 40), (1 << 62), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, (1 << 64) - 8),
    0x7FF8000000000000,  # NaN
    0xFFF0000000000000,  # minus infinity
)
TEXTS = (b"\xff\xfe", b"\xed\xa0\x80", b"\0", b"\xc3", "\u202e/..".encode(), b"../../etc", b'"', b"\\", b"]]")
"""Invalid UTF-8, half a surrogate pair, a zero, half a character, and texts that may break JSON or paths."""
HEAD = 512
"""Bytes at the beginning of a slot that usually describe its contents."""

Mutation = Callable[[random.Random, Victim], None]


def mutate(rng: random.Random, victim: Victim) -> None:
    """Damage a victim in one to four ways."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        rng.choice(MUTATIONS)(rng, victim)


def _place(rng: random.Random, victim: Victim) -> int:
    """Return an offset in a slot that may be damaged, mostly where damage has effects."""
    slot = rng.choice(victim.slots)
    kind = rng.randrange(4)
    if kind == 0:
        within = rng.randrange(GEOMETRY.slot_bytes)
    elif kind == 1:
        within = GEOMETRY.slot_bytes * 3 // 4 + rng.randrange(64)  # the entity dictionary of a table
    elif kind == 2:
        within = rng.randrange(GEOMETRY.slot_bytes // 4)
    else:
        within = rng.randrange(HEAD)
    return GEOMETRY.slot_offset(slot) + within


def _end(at: int) -> int:
    """Return the end of the slot that `at` lies in."""
    return at + GEOMETRY.slot_bytes - (at - GEOMETRY.slots_offset) % GEOMETRY.slot_bytes


def _store(victim: Victim, at: int, data: bytes) -> None:
    data = data[: _end(at) - at]
    victim.image.memory[at : at + len(data)] = data


def _flip(rng: random.Random, victim: Victim) -> None:
    victim.image.memory[_place(rng, victim)] ^= 1 << rng.randrange(8)


def _set_number(rng: random.Random, victim: Victim) -> None:
    width = rng.choice((1, 2, 4, 4, 8))
    at = _place(rng, victim)
    if rng.random() < 0.8:
        at -= at % width
    value = rng.choice(EXTREMES) if rng.random() < 0.7 else rng.randrange(GEOMETRY.slot_bytes * 2)
    _store(victim, at, (value % (1 << 8 * width)).to_bytes(width, "little"))


def _nudge(rng: random.Random, victim: Victim) -> None:
    """Change a byte a little: lengths and offsets become nearly right."""
    at = _place(rng, victim)
    victim.image.memory[at] = (victim.image.memory[at] + rng.choice((-8, -4, -1, 1, 4, 8))) % 256


def _junk(rng: random.Random, victim: Victim) -> None:
    _store(victim, _place(rng, victim), rng.randbytes(rng.choice((2, 16, 200, 4096))))


def _text(rng: random.Random, victim: Victim) -> None:
    _store(victim, _place(rng, victim), rng.choice(TEXTS))


def _fill(rng: random.Random, victim: Victim) -> None:
    _store(victim, _place(rng, victim), rng.choice((b"\0", b"\xff", b"\x01")) * rng.choice((8, 64, 1024, 8192)))


def _copy(rng: random.Random, victim: Victim) -> None:
    """Copy one region over another: this doubles or cuts heads, or brings in another slot's contents."""
    source, target = _place(rng, victim), _place(rng, victim)
    size = min(rng.choice((8, 32, 128, 1024, 8192)), _end(source) - source)
    _store(victim, target, bytes(victim.image.memory[source : source + size]))


def _swap(rng: random.Random, victim: Victim) -> None:
    one, other = _place(rng, victim), _place(rng, victim)
    size = min(rng.choice((4, 8, 64, 512)), _end(one) - one, _end(other) - other)
    memory = victim.image.memory
    memory[one : one + size], memory[other : other + size] = memory[other : other + size], memory[one : one + size]


def _control(rng: random.Random, victim: Victim) -> None:
    """Forge a word of a control line."""
    slot = rng.choice(victim.slots)
    words, line = victim.image.ring.words, GEOMETRY.line_word(slot)
    word = rng.choice((Line.STATE, Line.COUNT, Line.COUNT, Line.COUNT, Line.EPOCH, Line.KIND, *range(8)))
    if word == Line.STATE and rng.random() < 0.7:
        owner = pack_owner(rng.choice((0, 1, GEOMETRY.producers, 0xFFFF)), rng.choice((1, 2, (1 << 40) - 1)))
        words[line + word] = owner | rng.randrange(256)
    elif word == Line.KIND:
        words[line + word] = rng.choice((0, 1, 2, 3, 4, 5, (1 << 64) - 1))
    elif word == Line.COUNT and rng.random() < 0.5:
        words[line + word] = (words[line + word] + rng.choice((-8, -1, 1, 8, 64, 1000))) % (1 << 64)
    else:
        words[line + word] = rng.choice(EXTREMES)


def _chain(rng: random.Random, victim: Victim) -> None:
    """Make a slot the head of a chain whose parts loop, point outside, or belong to other chains."""
    slot = rng.choice(victim.slots)
    parts = rng.choice((0, 1, 2, 3, 4, GEOMETRY.slots - 1, GEOMETRY.slots, 1 << 16, 0xFFFFFFFF))
    chosen = (slot, *victim.slots, *victim.intact, GEOMETRY.slots, 0xFFFFFFFF)
    entries = b"".join(
        rng.choice(chosen).to_bytes(4, "little") + rng.choice((0, 0, 1, 0xFFFFFFFF)).to_bytes(4, "little")
        for _ in range(min(parts, 64))
    )
    total = rng.choice((*EXTREMES, parts * GEOMETRY.slot_bytes, (parts + 1) * (GEOMETRY.slot_bytes - 8) - 16))
    head = parts.to_bytes(4, "little") + bytes(4) + entries + (total % (1 << 64)).to_bytes(8, "little")
    at = GEOMETRY.slot_offset(slot)
    if rng.random() < 0.5:
        # The slot's bytes follow the head, as in a genuine chain.
        head += bytes(victim.image.memory[at : at + GEOMETRY.slot_bytes - len(head)])
    _store(victim, at, head)
    words, line = victim.image.ring.words, GEOMETRY.line_word(slot)
    words[line + Line.KIND] = 2
    words[line + Line.COUNT] = 1


def _header(rng: random.Random, victim: Victim) -> None:
    """Forge a word of the header that a running collector reads, or of the producers table."""
    words = victim.image.ring.words
    if rng.random() < 0.5:
        words[rng.choice((*range(Header.SWEEP_DONE, Header.USABLE_SLOTS + 1), Header.CONFIG_REVISION))] = rng.choice(
            EXTREMES
        )
    else:
        entry = GEOMETRY.producer_word(rng.randrange(GEOMETRY.producers))
        words[entry + rng.randrange(ProducerWord.DAMAGE + ProducerWord.PAIRS)] = rng.choice(EXTREMES)


def _free_line(rng: random.Random, victim: Victim) -> None:
    """Forge the control line of an unused slot."""
    slot = rng.randrange(GEOMETRY.slots)
    if slot in victim.slots or slot in victim.intact:
        return
    words, line = victim.image.ring.words, GEOMETRY.line_word(slot)
    words[line + Line.KIND] = rng.randrange(6)
    words[line + Line.COUNT] = rng.choice(EXTREMES)
    words[line + Line.STATE] = pack_owner(rng.randrange(16), 1) | rng.choice((SlotState.OPEN, SlotState.SEALED, 77))


MUTATIONS: tuple[Mutation, ...] = (
    *(_flip,) * 4,
    *(_set_number,) * 5,
    *(_nudge,) * 3,
    *(_text,) * 2,
    *(_copy,) * 2,
    *(_control,) * 3,
    _junk,
    _fill,
    _swap,
    _chain,
    _header,
    _free_line,
)
assert PAGE >= HEAD
