"""Tables: an Arrow record batch that grows in place in a slot, one row a call.

A table slot holds rows of one *shape* (an archetype's layout and a set of timelines) for any number of entities. Its
columns have a fixed capacity. A row exists once the slot's count includes it. Values that can be derived are not
stored: the counter half of a row id is the table's first counter plus the row's number, the time half is the running
maximum of the clock column, and log_time is the clock column itself::

    ┌───────────────┬────────┬───────────┬─────────────┬──────────────────┬──────────────────────┬────────────┐
    │ declaration   │ plan   │ clock     │ entity      │ timelines        │ values               │ dictionary │
    │ u32 n, JSON   │ PLAN   │ u64 x cap │ u16 x cap   │ i64 x cap each   │ by `ValueKind`       │ of paths   │
    └───────────────┴────────┴───────────┴─────────────┴──────────────────┴──────────────────────┴────────────┘

Each region begins at an offset divisible by 8. The dictionary holds a u16 length and UTF-8 for each text, in the order
of the indices; entity paths and levels share it. Old bytes of the slot may follow its last text, so the collector reads
only as many texts as the rows refer to. The declaration is JSON, so that a process that logs only such archetypes needs
neither pyarrow nor rerun.

The producer packs; the collector unpacks a private copy.
"""

from __future__ import annotations

import json
import struct
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

from rerun_mp.encoding.component_types import parse_type
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import HEAP_KINDS, ITEM_BYTES, ListComponent, NumericComponent, ValueKind
from rerun_mp.errors import CorruptionError

__all__ = [
    "TablePlan",
    "TableShape",
    "checked_list_component",
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
MAX_ENTITIES = 0xFFFF
TEXT_BYTES = 64
"""Expected bytes of a text, by which a slot is divided between rows and heap."""
MIN_ROWS = 4
"""Minimum rows of a table; a shape of which fewer fit into a slot gets no table."""
MIN_WIDE_ROW_BYTES = 1024
"""Bytes of values from which on a row counts as wide."""
DICTIONARY_SHARE = 4
WIDE_DICTIONARY_SHARE = 32
"""The dictionary gets 1/`DICTIONARY_SHARE` of the slot; in a table of wide rows, 1/`WIDE_DICTIONARY_SHARE`."""
MAX_COMPONENTS = 100
MAX_COLUMNS = 400
MAX_TIMELINES = 1000
"""Upper bounds of a valid shape."""
TIME_KINDS = frozenset({"sequence", "timestamp", "duration"})


class TableShape(NamedTuple):
    """What all rows of a table share. Rows of several tables of one shape can become one chunk."""

    recording: RecordingKey
    value_kind: ValueKind
    components: tuple[NumericComponent, ...] | tuple[ListComponent, ...]
    """As in `RowLayout`."""
    has_log_time: bool
    timelines: tuple[tuple[str, str], ...]
    """(name, kind) of each timeline that the user set, in the order of the names; a kind is one of `TIME_KINDS`."""
    row_bytes: int = 0
    """As in `RowLayout`."""

    @property
    def width(self) -> int:
        """Bytes of a row's components, or for COLUMNS the expected bytes; 0 if there are none."""
        if self.row_bytes or not self.components:
            return self.row_bytes
        return sum(one.width for one in self.components if isinstance(one, NumericComponent))

    @property
    def columns(self) -> int:
        """Blocks of a row in the heap."""
        if self.value_kind != ValueKind.COLUMNS:
            return 1
        return sum(parse_type(one.type).columns for one in self.components if isinstance(one, ListComponent))


class TablePlan(NamedTuple):
    """The division of a slot: offsets and sizes in bytes, unless said otherwise."""

    capacity: int
    """Number of rows."""
    clock: int
    entity: int
    timelines: int
    """Offset of the first timeline. The others follow, `capacity` words each."""
    values: int
    heap: int
    heap_bytes: int
    levels: int
    dictionary: int
    first_counter: int
    """Counter half of the id of row 0."""
    min_time: int
    """Smallest time half of a row's id, in nanoseconds, even if the clock steps back."""


@lru_cache(maxsize=256)
def pack_head(shape: TableShape) -> bytes:
    """Return the declaration after its length, padded."""
    # Equal to the output of json.dumps, whose code is cold in a forked child and would take a tenth of its first call.
    application_id, recording_id = map(quoted, shape.recording)
    components = ",".join(
        f"[{','.join('null' if fact is None else quoted(fact) if isinstance(fact, str) else str(fact) for fact in c)}]"
        for c in shape.components
    )
    timelines = ",".join(f"[{quoted(name)},{quoted(kind)}]" for name, kind in shape.timelines)
    has_log_time = "true" if shape.has_log_time else "false"
    kind = int(shape.value_kind)
    facts = f"{kind},[{components}],{has_log_time},[{timelines}],{shape.row_bytes}"
    text = f"[{application_id},{recording_id},{facts}]".encode()
    return SIZE.pack(len(text)) + text + bytes(-(SIZE.size + len(text)) % WORD)


def plan_table(
    shape: TableShape, head_bytes: int, slot_bytes: int, first_counter: int, min_time: int
) -> TablePlan | None:
    """Divide a slot between columns and dictionary. None: fewer than `MIN_ROWS` rows fit."""
    begin = head_bytes + PLAN.size + -PLAN.size % WORD
    # A table of wide rows has few rows, so few entities.
    share = WIDE_DICTIONARY_SHARE if shape.width >= MIN_WIDE_ROW_BYTES else DICTIONARY_SHARE
    dictionary = slot_bytes - slot_bytes // share
    row = WORD + ENTITY_BYTES + WORD * len(shape.timelines)
    if shape.value_kind in HEAP_KINDS:
        row += (
            4 * shape.columns + (2 if shape.value_kind == ValueKind.LEVELLED_TEXT else 0) + (shape.width or TEXT_BYTES)
        )
    else:
        row += shape.width or WORD
    capacity = (dictionary - begin - 8 * WORD) // row
    if capacity < MIN_ROWS:
        return None
    entity = begin + WORD * capacity
    timelines = _aligned(entity + ENTITY_BYTES * capacity)
    values = timelines + WORD * capacity * len(shape.timelines)
    levels = heap = 0
    if shape.value_kind in HEAP_KINDS:
        levels = _aligned(values + 4 * shape.columns * capacity)
        heap = _aligned(levels + (2 * capacity if shape.value_kind == ValueKind.LEVELLED_TEXT else 0))
    heap_bytes = dictionary - heap if heap else 0
    return TablePlan(
        capacity, begin, entity, timelines, values, heap, heap_bytes, levels, dictionary, first_counter, min_time
    )


def pack_plan(plan: TablePlan) -> bytes:
    """Return the plan's bytes, which follow the declaration."""
    return PLAN.pack(*plan)


def pack_text(text: bytes) -> bytes:
    """Return the dictionary's entry for a text."""
    return TEXT.pack(len(text)) + text


def head_bytes(beginning: memoryview) -> int:
    """Return the bytes of a slot's declaration and plan, as the slot's first bytes claim."""
    (size,) = SIZE.unpack_from(beginning, 0)
    return _aligned(SIZE.size + size) + PLAN.size


def unpack_head(head: memoryview, slot_bytes: int) -> tuple[TableShape, TablePlan]:
    """Read declaration and plan from a private copy of a slot's beginning.

    Raises
    ------
    CorruptionError
        If they differ from the output of `pack_head` and `plan_table` for such a slot.
    """
    try:
        (size,) = SIZE.unpack_from(head, 0)
        if size > len(head) - SIZE.size:
            raise CorruptionError(f"a table's declaration claims {size} bytes")
        begin = _aligned(SIZE.size + size)
        plan = TablePlan(*PLAN.unpack_from(head, begin))
    except struct.error as error:
        raise CorruptionError(f"a table's head is damaged: {error}") from error
    shape, expected = _plan_of(bytes(head[SIZE.size : SIZE.size + size]), begin, slot_bytes)
    # Everything in a plan except the row ids follows from the shape.
    if expected is None or plan[:-2] != expected[:-2] or plan.first_counter + plan.capacity > 1 << 64:
        raise CorruptionError("a table's plan does not match its shape")
    return shape, plan


@lru_cache(maxsize=256)
def _plan_of(declaration: bytes, begin: int, slot_bytes: int) -> tuple[TableShape, TablePlan | None]:
    """Return the shape that a declaration declares, and the only valid plan of its slot."""
    try:
        application_id, recording_id, value_kind, components, has_log_time, timelines, row_bytes = json.loads(
            declaration
        )
        shape = TableShape(
            RecordingKey(str(application_id), str(recording_id)),
            ValueKind(value_kind),
            tuple(checked_list_component(*fields) for fields in components)
            if value_kind == ValueKind.COLUMNS
            else tuple(_checked_component(*fields) for fields in components),
            bool(has_log_time),
            tuple((str(name), str(kind)) for name, kind in timelines),
            int(row_bytes),
        )
        # JSON can express a lone surrogate, which UTF-8 cannot.
        for text in (*shape.recording, *(name for name, _ in shape.timelines)):
            text.encode()
        if any(not name or "\0" in name for name, _ in shape.timelines):
            raise CorruptionError("a timeline of a table has an empty name, or a NUL in it")
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptionError(f"a table's head is damaged: {error}") from error
    names = {component[:2] if len(component) > 4 else component[0] for component in shape.components}
    is_known = all(kind in TIME_KINDS for _, kind in shape.timelines) and len(names) == len(shape.components)
    has_components = shape.value_kind in (ValueKind.COLUMNS, ValueKind.PACKED)
    valid_counts = range(1, MAX_COMPONENTS) if has_components else (0,)
    is_too_large = (
        shape.width >= slot_bytes or len(shape.timelines) > MAX_TIMELINES or not 0 < shape.columns <= MAX_COLUMNS
    )
    if (shape.row_bytes > 0) != (shape.value_kind == ValueKind.COLUMNS) or shape.row_bytes < 0:
        is_known = False
    if len(shape.components) not in valid_counts or is_too_large or not is_known:
        raise CorruptionError("a table's shape is damaged")
    return shape, plan_table(shape, begin, slot_bytes, 0, 0)


def unpack_texts(dictionary: memoryview, count: int) -> tuple[list[str], list[int]]:
    """Read the first `count` texts from a private copy of a dictionary. Returns them and the byte where each ends.

    Raises
    ------
    CorruptionError
        If it holds fewer, or one is damaged.
    """
    texts: list[str] = []
    ends: list[int] = []
    at = 0
    try:
        for _ in range(count):
            (n,) = TEXT.unpack_from(dictionary, at)
            raw = bytes(dictionary[at + TEXT.size : at + TEXT.size + n])
            if len(raw) != n:
                raise CorruptionError("a table's dictionary is cut off")
            texts.append(raw.decode())
            at += TEXT.size + n
            ends.append(at)
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptionError(f"a table's dictionary is damaged: {error}") from error
    return texts, ends


def _checked_component(
    archetype: object, field: object, component_type: object, item: object, size: object, instances: object
) -> NumericComponent:
    component = NumericComponent(str(archetype), str(field), str(component_type), str(item), int(size), int(instances))  # type: ignore[call-overload]
    names = (component.archetype, component.field, component.component_type)
    if (
        component.item not in ITEM_BYTES
        or not 0 <= component.size < 1 << 16
        or component.instances < 1
        or not all(map(str.isidentifier, names))
    ):
        raise CorruptionError(f"a table claims a component {component}")
    return component


def checked_list_component(name: object, archetype: object, component_type: object, notation: object) -> ListComponent:
    """Return a component whose facts came out of shared memory. Raises CorruptionError if they describe none."""
    texts = (name, archetype, component_type, notation)
    if not all(text is None or (isinstance(text, str) and "\0" not in text) for text in texts) or not name:
        raise CorruptionError(f"a table claims a component {texts}")
    for text in texts:
        if isinstance(text, str):
            text.encode()
    if name == "rerun.controls.RowId" or notation is None:
        raise CorruptionError(f"a table claims a component {texts}")
    parse_type(str(notation))
    return ListComponent(*texts)  # type: ignore[arg-type]


def _aligned(offset: int) -> int:
    return offset + -offset % WORD
