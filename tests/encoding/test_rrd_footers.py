"""The end of a complete .rrd file: its checksum, and files that have no valid footer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerun_mp.encoding.rrd_footers import checksum, end_file, footer_of, manifests_in
from tests.collector.store.made_stores import chunks, write_file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0x02CC5D05),
        (b"abc", 0x32D153FF),
        (b"Nobody inspects the spammish repetition", 0xE2293B2F),
        (bytes(range(256)) * 300 + b"end", 0x701BF446),
    ],
)
def test_the_checksum_is_xxhash(content: bytes, expected: int) -> None:
    """The values are those of the reference implementation."""
    assert checksum([content], 0) == expected


@given(st.lists(st.binary(max_size=70), max_size=6), st.integers(0, 0xFFFFFFFF))
def test_the_checksum_of_pieces_is_that_of_the_whole(pieces: list[bytes], seed: int) -> None:
    assert checksum(pieces, seed) == checksum([b"".join(pieces)], seed)


def test_the_footer_of_a_file_is_found_and_written_again(tmp_path: Path) -> None:
    path = write_file(tmp_path / "out.rrd", chunks(range(3)))
    content = path.read_bytes()
    with open(path, "r+b") as file:
        footer = footer_of(file.fileno())
        assert footer is not None
        assert len(list(manifests_in(footer))) == 1
        file.truncate(content.index(footer) - 16)
        assert footer_of(file.fileno()) is None
        half = len(footer) // 2
        end_file(file.fileno(), [footer[:half], memoryview(footer)[half:]])
    assert path.read_bytes() == content


def test_a_damaged_footer_is_none(tmp_path: Path) -> None:
    path = write_file(tmp_path / "out.rrd", chunks(range(3)))
    with open(path, "r+b") as file:
        os.pwrite(file.fileno(), b"x", path.stat().st_size - 100)
        assert footer_of(file.fileno()) is None
