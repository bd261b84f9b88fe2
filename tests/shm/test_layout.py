"""The segment's places and words: nothing overlaps, and impossible sizes are refused."""

from __future__ import annotations

import re

import pytest

from rerun_mp.shm.layout import Geometry, Header, SlotState, pack_owner, root_of, unpack_owner
from tests.shm.bench_ring import GEOMETRY, make_ring


def test_tables_and_slots_do_not_overlap() -> None:
    """No word of the tables shares a place with another, nor does a byte of the slots."""
    assert GEOMETRY.producers_offset == 4096
    assert GEOMETRY.control_offset == 4096 + GEOMETRY.producers * 256
    assert GEOMETRY.slots_offset >= GEOMETRY.control_offset + GEOMETRY.slots * 64
    assert GEOMETRY.slots_offset % 65536 == 0, "a whole number of pages on every machine"
    assert GEOMETRY.slot_offset(GEOMETRY.slots) == GEOMETRY.total_bytes
    assert GEOMETRY.line_word(1) - GEOMETRY.line_word(0) == 8
    assert GEOMETRY.producer_word(1) - GEOMETRY.producer_word(0) == 32


def test_slots_begin_on_the_first_page_behind_the_tables() -> None:
    """Worked out by hand: 4096 + 64 * 256 + 100 * 64 is 26,880; the largest pages have 65,536 bytes."""
    geometry = Geometry(slot_bytes=8192, slots=100, producers=64)
    assert (geometry.slots_offset, geometry.total_bytes) == (65_536, 65_536 + 100 * 8192)
    assert Geometry(slot_bytes=4096, slots=160, producers=200).slots_offset == 65_536, "already a whole page"
    assert Geometry(slot_bytes=4096, slots=161, producers=200).slots_offset == 131_072, "one control line more"


@pytest.mark.parametrize(
    ("last", "beyond", "said"),
    [
        (Geometry(4096, 8, 4), Geometry(4095, 8, 4), "slot size 4095 is not a whole number of pages between 4096"),
        (Geometry(8192, 8, 4), Geometry(8191, 8, 4), "slot size 8191 is not a whole number of pages"),
        (Geometry((1 << 28) - 4096, 8, 4), Geometry(1 << 28, 8, 4), f"slot size {1 << 28} is not .* and {2**28 - 1}"),
        (Geometry(4096, 2, 4), Geometry(4096, 1, 4), "1 slots are not between 2 and 1048576"),
        (Geometry(4096, 1 << 20, 4), Geometry(4096, (1 << 20) + 1, 4), "1048577 slots are not between 2 and 1048576"),
        (Geometry(4096, 8, 1), Geometry(4096, 8, 0), "0 producers are not between 1 and 65535"),
        (Geometry(4096, 8, 65_535), Geometry(4096, 8, 65_536), "65536 producers are not between 1 and 65535"),
    ],
)
def test_impossible_sizes_are_refused_in_words(last: Geometry, beyond: Geometry, said: str) -> None:
    """The last possible number is accepted; the first impossible one is refused with a reason."""
    assert last.check() is None
    assert re.match(said, str(beyond.check()))


def test_owner_survives_packing() -> None:
    """A state word yields producer and generation, whatever the state."""
    for producer, generation in ((0, 1), (65_535, (1 << 40) - 1), (17, 3)):
        assert unpack_owner(pack_owner(producer, generation) | SlotState.SEALED) == (producer, generation)


def test_header_words_are_apart() -> None:
    """No two names of the header share a word."""
    names = [name for name in vars(Header) if name.isupper() and name not in ("PATH_BYTES", "IDENTITY")]
    words = [getattr(Header, name) for name in names]
    assert len(set(words)) == len(words)


def test_the_root_is_the_beginning_of_the_nonce_unless_the_header_names_another() -> None:
    ring = make_ring()
    words = ring.words
    words[Header.NONCE_LOW], words[Header.ROOT] = int.from_bytes(b"nonce of", "little"), 0
    assert root_of(words) == b"nonce of"
    words[Header.ROOT] = int.from_bytes(b"the root", "little")
    assert root_of(words) == b"the root"
