"""A row of blocks is read back as it was packed; a damaged one is refused."""

from __future__ import annotations

import json

import pytest

from rerun_mp.encoding.block_frames import Declaration, pack_blocks, read_declaration, unpack_blocks
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ListComponent
from rerun_mp.encoding.timepoints import TimeKind
from rerun_mp.errors import CorruptionError

KEY = RecordingKey("app", "recording")
COMPONENTS = (ListComponent("A:bytes", "rerun.archetypes.A", None, '["list",false,"u1"]'),)
TIMELINES = (("frame", TimeKind.SEQUENCE), ("log_time", TimeKind.TIMESTAMP))
LENGTH = (5).to_bytes(4, "little")


def body_of(*blocks: bytes) -> tuple[Declaration, bytes]:
    row = pack_blocks(KEY, COMPONENTS, blocks, TIMELINES, [-7, 9], is_static=False)
    return read_declaration(row.shape.schema), b"".join(map(bytes, row.pieces))


def test_a_row_is_read_back() -> None:
    declared, body = body_of(LENGTH, b"hello")
    assert declared == Declaration(TIMELINES, COMPONENTS)
    assert len(body) % 8 == 0
    times, blocks = unpack_blocks(declared, memoryview(body))
    assert times == [-7, 9]
    assert [bytes(block) for block in blocks] == [LENGTH, b"hello"]


@pytest.mark.parametrize("cut", [0, 8, 31, -8, -1])
def test_a_row_cut_off_is_refused(cut: int) -> None:
    declared, body = body_of(LENGTH, b"hello")
    with pytest.raises(CorruptionError):
        unpack_blocks(declared, memoryview(body[:cut]))


COMPONENT = ["A:bytes", None, None, '"f4"']


@pytest.mark.parametrize(
    "declared",
    [
        None,
        [],
        [[], []],
        [[["frame", 0]], [COMPONENT, COMPONENT]],
        [[["frame", 0], ["frame", 1]], [COMPONENT]],
        [[["frame", 3]], [COMPONENT]],
        [[["", 0]], [COMPONENT]],
        [[["fr\0me", 0]], [COMPONENT]],
        [[[1, 0]], [COMPONENT]],
        [[["frame", 0]], [["A", None, None, '"q9"']]],
        [[["frame", 0]], [["\ud800", None, None, '"f4"']]],
        [[], [[f"A{n}", None, None, '"f4"'] for n in range(100)]],
    ],
)
def test_a_damaged_declaration_is_refused(declared: object) -> None:
    with pytest.raises(CorruptionError):
        read_declaration(json.dumps(declared).encode())


def test_bytes_that_are_no_json_are_refused() -> None:
    for text in (b"", b"\xff", b"[" * 100_000):
        with pytest.raises(CorruptionError):
            read_declaration(text)
