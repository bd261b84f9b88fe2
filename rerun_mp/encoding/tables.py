"""Tables: an Arrow record batch that grows in place in a slot, one row a call.

A table slot holds rows of one *form* (an archetype of fixed layout and a set of timelines) for any number of entities.
Its columns have fixed capacity; a row exists when the slot's count says so, and what can be derived is not stored: the
counter half of a row's id is the table's first counter plus the row's number, its time half the running maximum of the
clock column, and log_time the clock column itself::

    ┌───────────────┬────────┬───────────┬─────────────┬──────────────────┬──────────────────────┬────────────┐
    │ declaration   │ plan   │ clock     │ entity      │ timelines        │ values of the form   │ dictionary │
    │ u32 n, JSON   │ PLAN   │ u64 x cap │ u16 x cap   │ i64 x cap each   │ see `Form`           │ of paths   │
    └───────────────┴────────┴───────────┴─────────────┴──────────────────┴──────────────────────┴────────────┘

Each region begins at an offset divisible by 8. The dictionary is u16 length and UTF-8 per text, in the order of the
indices, ended by whatever the slot held before: only as many texts as the rows refer to are read. Entity paths and
levels share it. The declaration is JSON, so that a process that logs only such archetypes needs neither pyarrow nor
rerun.

Packing happens in the producer, unpacking in the collector on a private copy.
"""

from __future__ import annotations

import json
import struct
from enum import IntEnum
from typing import NamedTuple

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.errors import CorruptionError

__all__ = [
    "Form",
    "TablePlan",
    "TableShape",
    "head_bytes",
    "pack_head",
    "pack_text",
    "plan_table",
    "unpack_head",
    "unpack_texts",
]

PLAN = struct.Struct("<9I4xQQ")
SIZE = struct.Struct("<I")
TEXT = struct.Struct("<H")
ENTITY_BYTES = 2
WORD = 8
MOST_ENTITIES = 0xFFFF
TEXT_GUESS = 64
"""Bytes that a text is thought to have, when a slot is divided between rows and text."""
FEWEST_ROWS = 4
TIME_KINDS = frozenset({"sequence", "timestamp", "duration"})


class Form(IntEnum):
    """What the values of a row are, and the columns that hold them."""

    SCALARS = 1
    """f64 x capacity."""
    TEXT = 2
    """u32 x capacity: where each text ends in the heap; then the heap."""
    POINTS3D = 3
    """width bytes x capacity: float32 triples, as many in each row."""
    POINTS2D = 4
    """The same with pairs."""
    LEVELLED_TEXT = 102
    """As TEXT, then u16 x capacity: the level's index in the dictionary."""


TEXT_FORMS = (Form.TEXT, Form.LEVELLED_TEXT)
BLOCK_FORMS = (Form.POINTS3D, Form.POINTS2D)


class TableShape(NamedTuple):
    """What the rows of a table have in common; tables of one shape can become one chunk."""

    recording: RecordingKey
    form: Form
    width: int
    """Bytes of a row's block; 0 for forms without."""
    has_log_time: bool
    timelines: tuple[tuple[str, str], ...]
    """(name, kind) of each timeline that the user set, in the order of the names; kinds as in `TIME_KINDS`."""


class TablePlan(NamedTuple):
    """Where in the slot everything is: offsets and sizes in bytes."""

    capacity: int
    clock: int
    entity: int
    timelines: int
    """Of the first; the next ones follow, `capacity` words each."""
    values: int
    heap: int
    heap_bytes: int
    levels: int
    dictionary: int
    first_counter: int
    """Counter half of row 0's id."""
    least_time: int
    """No row's id has a smaller time half, whatever the clock does."""


def pack_head(shape: TableShape) -> bytes:
    """Return the declaration, with its length before it, padded."""
    text = json.dumps([*shape.recording, shape.form, shape.width, shape.has_log_time, shape.timelines]).encode()
    return SIZE.pack(len(text)) + text + bytes(-(SIZE.size + len(text)) % WORD)


def plan_table(
    shape: TableShape, head_bytes: int, slot_bytes: int, first_counter: int, least_time: int
) -> TablePlan | None:
    """Divide a slot between columns and dictionary. None if too few rows would fit."""
    begin = head_bytes + PLAN.size + -PLAN.size % WORD
    dictionary = slot_bytes - slot_bytes // 4
    row = WORD + ENTITY_BYTES + WORD * len(shape.timelines)
    if shape.form in TEXT_FORMS:
        row += 4 + (2 if shape.form == Form.LEVELLED_TEXT else 0)
        capacity = (dictionary - begin - 8 * WORD) // (row + TEXT_GUESS)
    else:
        row += shape.width or WORD
        capacity = (dictionary - begin - 8 * WORD) // row
    if capacity < FEWEST_ROWS:
        return None
    entity = begin + WORD * capacity
    timelines = _aligned(entity + ENTITY_BYTES * capacity)
    values = timelines + WORD * capacity * len(shape.timelines)
    levels = heap = 0
    if shape.form in TEXT_FORMS:
        levels = _aligned(values + 4 * capacity)
        heap = _aligned(levels + (2 * capacity if shape.form == Form.LEVELLED_TEXT else 0))
    heap_bytes = dictionary - heap if heap else 0
    return TablePlan(
        capacity, begin, entity, timelines, values, heap, heap_bytes, levels, dictionary, first_counter, least_time
    )


def pack_plan(plan: TablePlan) -> bytes:
    """Return the plan as it stands after the declaration."""
    return PLAN.pack(*plan)


def pack_text(text: bytes) -> bytes:
    """Return a dictionary's entry."""
    return TEXT.pack(len(text)) + text


def head_bytes(beginning: memoryview) -> int:
    """Return how many bytes a slot's declaration and plan claim to take, from its first bytes."""
    (size,) = SIZE.unpack_from(beginning, 0)
    return _aligned(SIZE.size + size) + PLAN.size


def unpack_head(head: memoryview, slot_bytes: int) -> tuple[TableShape, TablePlan]:
    """Read declaration and plan from a private copy of a slot's beginning.

    Raises
    ------
    CorruptionError
        If they are not what `pack_head` and `plan_table` make for such a slot.
    """
    try:
        (size,) = SIZE.unpack_from(head, 0)
        if size > len(head) - SIZE.size:
            raise CorruptionError(f"a table's declaration claims {size} bytes")
        application_id, recording_id, form, width, has_log_time, timelines = json.loads(
            bytes(head[SIZE.size : SIZE.size + size])
        )
        shape = TableShape(
            RecordingKey(str(application_id), str(recording_id)),
            Form(form),
            int(width),
            bool(has_log_time),
            tuple((str(name), str(kind)) for name, kind in timelines),
        )
        begin = _aligned(SIZE.size + size)
        plan = TablePlan(*PLAN.unpack_from(head, begin))
    except (struct.error, ValueError, TypeError, RecursionError) as error:
        raise CorruptionError(f"a table's head is damaged: {error}") from error
    is_known = all(kind in TIME_KINDS for _, kind in shape.timelines)
    if not 0 <= shape.width < slot_bytes or len(shape.timelines) > 1000 or not is_known:
        raise CorruptionError("a table's shape is damaged")
    # Everything in a plan but the row ids follows from the shape.
    if plan != plan_table(shape, begin, slot_bytes, plan.first_counter, plan.least_time):
        raise CorruptionError("a table's plan is not that of its shape")
    return shape, plan


def unpack_texts(dictionary: memoryview, count: int) -> list[str]:
    """Read the first `count` texts of a private copy of a dictionary.

    Raises
    ------
    CorruptionError
        If there are not so many.
    """
    texts: list[str] = []
    at = 0
    try:
        for _ in range(count):
            (n,) = TEXT.unpack_from(dictionary, at)
            raw = bytes(dictionary[at + TEXT.size : at + TEXT.size + n])
            if len(raw) != n:
                raise CorruptionError("a table's dictionary is cut off")
            texts.append(raw.decode())
            at += TEXT.size + n
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptionError(f"a table's dictionary is damaged: {error}") from error
    return texts


def _aligned(offset: int) -> int:
    return offset + -offset % WORD
