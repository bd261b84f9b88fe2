"""A chain's preamble is read back as it was packed, and a damaged one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.encoding.chains import EPOCH_MASK, chain_slots, pack_chain, preamble_bytes, unpack_chain
from rerun_mp.errors import CorruptionError

CAPACITY = 4096
SLOTS = 64
LONGEST = preamble_bytes(SLOTS)


def head_of(preamble: bytes) -> memoryview:
    return memoryview(preamble.ljust(LONGEST, b"\xff"))


@given(st.integers(0, (SLOTS - 1) * (CAPACITY - 8)), st.integers(0, 2**64 - 1), st.randoms())
def test_a_preamble_is_read_back(total: int, epoch: int, random: object) -> None:
    numbers = list(range(SLOTS))
    random.shuffle(numbers)  # type: ignore[attr-defined]
    parts = [(slot, epoch) for slot in numbers[: chain_slots(total, CAPACITY) - 1]]
    read, size, begin = unpack_chain(head_of(pack_chain(parts, total)), SLOTS, CAPACITY)
    assert read == [(slot, epoch & EPOCH_MASK) for slot, epoch in parts]
    assert size == total
    assert begin == preamble_bytes(len(parts)) == len(pack_chain(parts, total))


@given(st.integers(0, 1 << 24), st.integers(64, 1 << 18))
def test_a_message_takes_the_fewest_slots_that_hold_it_and_its_preamble(total: int, capacity: int) -> None:
    slots = chain_slots(total, capacity)
    assert total + preamble_bytes(slots - 1) <= slots * capacity
    assert slots == 1 or total + preamble_bytes(slots - 2) > (slots - 1) * capacity


@pytest.mark.parametrize(
    ("parts", "total", "message"),
    [
        ([(1, 0), (1, 0)], 9000, "a chain names a slot twice, or one that does not exist"),
        ([(SLOTS, 0)], 6000, "a chain names a slot twice, or one that does not exist"),
        ([(1, 0)], 100, "a chain of 2 slots claims 100 bytes"),
        ([(1, 0)], 2**63, f"a chain of 2 slots claims {2**63} bytes"),
        ([(slot, 0) for slot in range(SLOTS)], 6000, f"a chain claims {SLOTS} parts"),
    ],
)
def test_an_impossible_preamble_is_refused(parts: list[tuple[int, int]], total: int, message: str) -> None:
    with pytest.raises(CorruptionError, match=message):
        unpack_chain(head_of(pack_chain(parts, total)), SLOTS, CAPACITY)


def test_more_parts_than_the_head_has_room_for_are_refused() -> None:
    with pytest.raises(CorruptionError, match="a chain claims 60 parts"):
        unpack_chain(memoryview(pack_chain([(slot, 0) for slot in range(60)], 1)[:100]), SLOTS, CAPACITY)
