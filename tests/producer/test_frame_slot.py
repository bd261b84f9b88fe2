"""Frames in the slot that a producer keeps open, and in slots of their own."""

from __future__ import annotations

from rerun_mp.encoding.frames import RecordingKey, Shape, unpack_frames
from rerun_mp.producer.producer import Producer
from rerun_mp.shm.layout import Attention, Header, SlotState
from rerun_mp.shm.segment import Segment
from tests.producer.conftest import SHAPE, make_rows, register

OTHER = Shape(RecordingKey("app", "other"), True, b"another schema")


def frames_in(made: Segment, slot: int) -> list[tuple[Shape, int, int]]:
    """Return (shape, rows, bytes of the batch) of each frame in a slot."""
    begin = made.ring.geometry.slot_offset(slot)
    data = memoryview(bytes(made.ring.memory[begin : begin + made.ring.words[made.ring.count_word(slot)]]))
    frames, _, damage = unpack_frames(data, 0, {})
    assert damage is None
    return [(frame.shape, frame.rows, len(frame.body)) for frame in frames]


def state(made: Segment, slot: int) -> int:
    return made.ring.states[slot] & 0xFF


def only_slot(producer: Producer) -> int:
    slot = producer._frames.slot
    assert slot >= 0
    return slot


def test_frames_share_the_open_slot_and_its_declarations(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(100))
    slot = only_slot(producer)
    before = made.ring.words[made.ring.count_word(slot)]
    assert producer.append(make_rows(100, rows=3))
    after = made.ring.words[made.ring.count_word(slot)]
    assert after - before < before, "the second frame refers to the declaration of the first"
    assert producer.append(make_rows(50, shape=OTHER))
    assert frames_in(made, slot) == [(SHAPE, 1, 100), (SHAPE, 3, 100), (OTHER, 1, 50)]
    assert made.ring.words[made.ring.rows_word(slot)] == 5
    producer.close()


def test_a_frame_that_does_not_fit_seals_the_slot_and_opens_another(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(40_000))
    first = only_slot(producer)
    assert producer.append(make_rows(40_000))
    second = only_slot(producer)
    assert (state(made, first), state(made, second)) == (SlotState.SEALED, SlotState.OPEN)
    assert frames_in(made, second) == [(SHAPE, 1, 40_000)], "a new slot declares its shapes anew"
    producer.close()
    assert state(made, second) == SlotState.SEALED


def test_a_frame_of_its_own_leaves_the_open_slot_alone(made: Segment) -> None:
    producer = register(made)
    assert producer.append(make_rows(100))
    slot = only_slot(producer)
    assert producer._frames.append_alone(make_rows(10))
    (own,) = (other for other in made.ring.owner_slots(producer._writer.owner) if other != slot)
    assert (state(made, slot), state(made, own)) == (SlotState.OPEN, SlotState.SEALED)
    assert frames_in(made, own) == [(SHAPE, 1, 10)]
    producer.close()


def test_no_slot_stays_open_under_pressure(made: Segment) -> None:
    producer = register(made)
    made.ring.words[Header.ATTENTION] = Attention.PRESSURE
    assert producer.append(make_rows(100))
    assert producer._frames.slot == -1
    assert state(made, made.ring.owner_slots(producer._writer.owner)[0]) == SlotState.SEALED
    producer.close()


def test_a_row_fits_if_an_empty_slot_has_room_for_it(made: Segment) -> None:
    producer = register(made)
    assert producer._frames.fits(make_rows(65_000))
    assert not producer._frames.fits(make_rows(65_500))
    producer.close()
