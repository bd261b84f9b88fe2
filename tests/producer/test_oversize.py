"""Messages that no slot holds: over a chain of slots, or through a file of the spool."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from rerun_mp.encoding.chains import unpack_chain
from rerun_mp.encoding.frames import FILE_REFERENCE, FrameKind, unpack_frames
from rerun_mp.shm.layout import Kind, Line, SlotState
from rerun_mp.shm.segment import Segment
from tests.producer.conftest import make_rows, register


def kind(made: Segment, slot: int) -> int:
    return made.ring.words[made.ring.geometry.line_word(slot) + Line.KIND]


def slot_bytes(made: Segment, slot: int) -> memoryview:
    begin = made.ring.geometry.slot_offset(slot)
    return memoryview(bytes(made.ring.memory[begin : begin + made.ring.geometry.slot_bytes]))


def test_a_chain_is_sealed_by_its_head_alone(wide: Segment) -> None:
    producer = register(wide)
    assert producer.append(make_rows(10_000, rows=7))
    (head,) = (slot for slot in range(64) if wide.ring.words[wide.ring.count_word(slot)])
    parts, size, _ = unpack_chain(slot_bytes(wide, head), 64, 4096)
    assert size > 10_000
    assert kind(wide, head) == Kind.HEAD
    assert wide.ring.states[head] & 0xFF == SlotState.SEALED
    assert (wide.ring.words[wide.ring.count_word(head)], wide.ring.words[wide.ring.rows_word(head)]) == (1, 7)
    assert len(parts) == 2
    for part, epoch in parts:
        assert epoch == wide.ring.words[wide.ring.geometry.line_word(part) + Line.EPOCH]
        assert kind(wide, part) == Kind.PART
        assert wide.ring.states[part] & 0xFF == SlotState.OPEN
    producer.close()


def test_a_message_with_too_few_slots_gives_them_back(wide: Segment) -> None:
    producer = register(wide)
    others = producer._claims.claim_chain(62, 1)
    assert len(others) == 62
    assert not producer._append_once(make_rows(10_000)), "it needs three slots, and two are free"
    left = [slot for slot in producer._ring.owner_slots(producer._writer.owner) if slot not in others]
    assert [wide.ring.states[slot] & 0xFF for slot in left] == [SlotState.ABANDONED] * 2
    producer.close()


def test_a_message_beyond_a_quarter_of_the_ring_goes_through_a_private_file(wide: Segment) -> None:
    producer, size = register(wide), 64 * 4096 // 4 + 1
    assert producer.append(make_rows(size))
    (slot,) = producer._ring.owner_slots(producer._writer.owner)
    count = wide.ring.words[wide.ring.count_word(slot)]
    (frame,), _, _ = unpack_frames(slot_bytes(wide, slot)[:count], 0, {})
    assert frame.kind == FrameKind.FILE
    assert FILE_REFERENCE.unpack_from(frame.body) == (FrameKind.ROWS, size)
    path = Path(wide.spool_directory, bytes(frame.body[FILE_REFERENCE.size :]).decode())
    assert path.stat().st_size == size
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    producer.close()


def test_a_file_that_no_frame_names_is_removed(wide: Segment) -> None:
    producer = register(wide)
    producer._claims.claim_chain(64, 1)
    assert not producer._append_once(make_rows(64 * 4096 // 4 + 1)), "the ring has no slot for the frame"
    assert os.listdir(wide.spool_directory) == []
    producer.close()
