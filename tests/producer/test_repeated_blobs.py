"""Images in a loop: the fast path, which reuses the bytes of the row before, writes the rows of the slow path."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rerun_mp.encoding.chains import unpack_chain
from rerun_mp.encoding.encoder import BlobTemplate
from rerun_mp.encoding.frames import FrameKind, Rows, pack_rows_head, pack_shape
from rerun_mp.producer.producer import Producer
from rerun_mp.producer.repeated_blobs import KnownMessage
from rerun_mp.shm.layout import Kind, Line, SlotState
from rerun_mp.shm.segment import Segment
from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify
from tests.producer.conftest import SHAPE, register
from tests.shm.bytecode import assert_stores_are_guarded
from tests.shm.steps import interrupt

PROGRAMS = Path(__file__).with_name("programs")
FIELDS = {
    "Image": "Image:buffer",
    "DepthImage": "DepthImage:buffer",
    "SegmentationImage": "SegmentationImage:buffer",
    "Tensor": "Tensor:data",
}


def test_a_loop_over_images_of_many_sizes_logs_each_byte_for_byte(run_python: RunPython, place: Path) -> None:
    """In one slot and over several, from threads and a child forked meanwhile, with a timeline added later."""
    path = place / "out.rrd"
    run_python(PROGRAMS / "image_loop.py", path, timeout=90.0).check()
    verify(path)
    expected = 4 * 3 * 4
    rows = rows_of(path)
    for who in ("parent", "thread0", "thread1", "child"):
        mine = [row for row in rows if row.entity_path.startswith(f"{who}/")]
        assert len(mine) == expected + 3
        for row in mine:
            _, name, *rest = row.entity_path.split("/")
            if not rest:
                assert set(row.times) == (set() if name == "static" else {"step", "elapsed", "log_time"})
                continue
            size, step = int(rest[0]), row.times["step"]
            pixels = np.random.default_rng(size + step).integers(0, 255, (size, size, 3), np.uint8)
            if name not in {"Image", "Tensor"}:
                pixels = pixels[..., 0].copy()
            if name == "DepthImage":
                pixels = pixels.astype(np.uint16)
            assert set(row.times) == {"step", "log_time"} | ({"elapsed"} if step >= 2 else set())
            field = row.components[FIELDS[name]].values[0]
            data = field["buffer"].value if name == "Tensor" else field
            assert data.values.to_numpy().tobytes() == pixels.tobytes()


@pytest.mark.parametrize("ring_bytes", [128 << 20, 16 << 20], ids=["128 MiB", "16 MiB"])
def test_slots_claimed_ahead_come_back(ring_bytes: int, run_python: RunPython, place: Path) -> None:
    """A process holds a few spare slots for images to come, and none once it has sealed or was killed."""
    path = place / "out.rrd"
    run_python(PROGRAMS / "spare_slots.py", path, env={"RERUN_MP_RING_BYTES": str(ring_bytes)}).check()
    assert sorted(row.entity_path for row in rows_of(path)) == ["child"] + ["image"] * 6


def blob_of(size: int) -> Any:
    """Return what an append reads of an archetype."""
    return SimpleNamespace(_format=("format",), _buffer=memoryview(bytes(n % 251 for n in range(size))))


def append_of(producer: Producer, template: BlobTemplate, size: int) -> Any:
    """Return the append of blobs of `size` bytes on the timelines `clock`, which takes the time, and `step`."""
    blobs = producer.blob_append(template, ("clock", "step"), "clock", blob_of(size))
    blobs.prepare("entity", b"/entity")
    return blobs.append


def template_of(after: int) -> BlobTemplate:
    """Return a template with `after` bytes behind the blob."""
    return BlobTemplate(SHAPE, b"before..", struct.Struct("<qq"), b"between.", b"A" * after)


@pytest.mark.parametrize("after", [0, 40])
@pytest.mark.parametrize("size", [4000, 8000, *range(8010, 8100, 8), 15_000])
def test_a_message_over_several_slots_is_laid_out_as_that_of_the_slow_path(
    size: int, after: int, wide: Segment
) -> None:
    """Also where a slot ends in the middle of the bytes behind the blob, or right before them."""
    producer, template, words = register(wide), template_of(after), wide.ring.words
    slot_bytes = wide.ring.geometry.slot_bytes
    append = append_of(producer, template, size)
    for step in (-5, 6):
        known = {slot for slot in range(64) if words[wide.ring.count_word(slot)]}
        assert append("entity", blob_of(size), {"step": step})
        (head,) = {slot for slot in range(64) if words[wide.ring.count_word(slot)]} - known
        assert wide.ring.states[head] & 0xFF == SlotState.SEALED
        assert words[wide.ring.rows_word(head)] == words[wide.ring.count_word(head)] == 1

        def content(slot: int) -> bytes:
            begin = wide.ring.geometry.slot_offset(slot)
            return bytes(wide.ring.memory[begin : begin + slot_bytes])

        parts, total, begin = unpack_chain(memoryview(content(head)), 64, slot_bytes)
        for part, epoch in parts:
            line = wide.ring.geometry.line_word(part)
            assert (words[line + Line.KIND], words[line + Line.EPOCH]) == (Kind.PART, epoch)
            assert wide.ring.states[part] & 0xFF == SlotState.OPEN
        message = (content(head) + b"".join(content(part) for part, _ in parts))[begin : begin + total]
        declaration = pack_shape(SHAPE)
        batch = 8 + 16 + 8 + size + after
        frame = message[len(declaration) :]
        time_half, counter = struct.unpack_from("<QQ", frame, 16)
        expected, frame_bytes = pack_rows_head(FrameKind.ROWS, 0, 1, time_half, counter, b"/entity", batch)
        assert message.startswith(declaration + expected + template.before)
        clock, logged_step = struct.unpack_from("<qq", frame, len(expected) + 8)
        assert logged_step == step
        assert time_half - 10**9 < clock <= time_half
        body = template.between + bytes(blob_of(size)._buffer) + template.after
        assert frame[len(expected) + 24 : len(expected) + 24 + len(body)] == body
        assert len(message) == len(declaration) + frame_bytes
    producer.close()


def test_a_row_of_another_layout_is_left_to_the_slow_path(wide: Segment) -> None:
    producer = register(wide)
    append = append_of(producer, template_of(8), 5000)
    other = blob_of(5000)
    other._format = ("other format",)
    assert not append("entity", blob_of(5001), {"step": 1})
    assert not append("entity", other, {"step": 1})
    with pytest.raises(KeyError):
        append("entity", blob_of(5000), {})
    assert producer._busy.free, "the next call is not taken for one that interrupts this one"
    assert append("entity", blob_of(5000), {"step": 1})
    producer.close()
    assert not append("entity", blob_of(5000), {"step": 1})


def test_a_call_that_interrupts_another_one_is_left_to_the_slow_path(wide: Segment) -> None:
    producer = register(wide)
    append = append_of(producer, template_of(8), 5000)
    del producer._busy.free
    assert not append("entity", blob_of(5000), {"step": 1})


def test_an_append_without_space_gives_its_slots_back(wide: Segment) -> None:
    producer = register(wide)
    append = append_of(producer, template_of(8), 10_000)
    others = producer._claims.claim_chain(62, 1)
    assert not append("entity", blob_of(10_000), {"step": 1}), "it needs three slots, and two are free"
    left = [slot for slot in producer._ring.owner_slots(producer._writer.owner) if slot not in others]
    assert [wide.ring.states[slot] & 0xFF for slot in left] == [SlotState.ABANDONED] * 2
    producer.close()


def test_no_id_is_minted_twice_when_another_call_interrupts_an_append_anywhere(wide: Segment) -> None:
    """A trace function that logs may run between any two instructions, also between those that mint the row's id."""
    producer = register(wide)
    blobs = producer.blob_append(template_of(8), ("clock", "step"), "clock", blob_of(5000))
    blobs.prepare("entity", b"/entity")
    message = KnownMessage(*blobs._messages["entity"])
    ids = producer._row_ids
    step, counters = 0, [0]

    def log() -> None:
        counters.append(ids.mint(1)[1])

    while interrupt(lambda: blobs.append("entity", blob_of(5000), {"step": 1}), blobs.append, step, log):
        counters.append(message.fields[message.id_field + 1])
        producer.seal()
        for slot in range(64):  # as the collector, so that the ring is never full
            if wide.ring.states[slot] > SlotState.UNUSABLE:
                wide.ring.free(slot)
        step += 1
    assert step > 100
    assert len(set(counters)) == len(counters)
    producer.close()


def test_an_exception_while_an_id_was_minted_costs_the_next_call_the_fast_path(wide: Segment) -> None:
    producer = register(wide)
    append = append_of(producer, template_of(8), 5000)
    del producer._row_ids.minting.free
    with pytest.raises(AttributeError):
        append("entity", blob_of(5000), {"step": 1})
    assert not any(wide.ring.words[wide.ring.count_word(slot)] for slot in range(64)), "it has committed nothing"
    producer.append(Rows(SHAPE, b"/entity", (bytes(8),), 8, 1, FrameKind.ROWS))
    assert append("entity", blob_of(5000), {"step": 1})
    producer.close()


def test_row_ids_of_appends_ascend_even_when_the_clock_steps_back(wide: Segment) -> None:
    producer = register(wide)
    blobs = producer.blob_append(template_of(8), ("clock", "step"), "clock", blob_of(5000))
    blobs.prepare("entity", b"/entity")
    message = KnownMessage(*blobs._messages["entity"])
    producer._row_ids.reach(1 << 62)
    minted = []
    for step in range(3):
        assert blobs.append("entity", blob_of(5000), {"step": step})
        minted.append(tuple(message.fields[message.id_field : message.id_field + 2]))
        minted.append(producer._row_ids.mint(1))
    assert minted == sorted(set(minted))
    assert all(time_half == 1 << 62 for time_half, _ in minted)
    producer.close()


def test_each_store_of_an_append_is_guarded_against_forks(wide: Segment) -> None:
    """From the last look at the fork guard to a store into the segment there is no call and no jump back."""
    producer = register(wide)
    append = append_of(producer, template_of(8), 5000)
    assert_stores_are_guarded(append, private=("fields", "signed_fields"))
    producer.close()
