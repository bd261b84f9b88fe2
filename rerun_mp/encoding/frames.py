"""Frames: the messages in a frame slot, for rows that have no fixed width.

A frame slot holds frames one after the other, each at an offset divisible by 8. A SHAPE frame declares a shape; the
ROWS frames after it in the *same slot* refer to it by its offset. So a slot can be read without any other slot::

    every frame                              SHAPE body                       ROWS body
    ┌──────┬──────┬────────┬────────────┐    ┌─────────────────────────┐      ┌─────────────────────────┐
    │ size │ kind │ length │ body ...   │    │ u16 n, application id   │      │ u32 shape offset        │
    │ u32  │ u16  │ u16 pad│ pad to 8   │    │ u16 n, recording id     │      │ u32 number of rows      │
    └──────┴──────┴────────┴────────────┘    │ u8  is static           │      │ u64 row id, time half   │
     size   counts header, body and padding  │ u32 n, Arrow IPC schema │      │ u64 row id, counter half│
     pad    bytes of padding at the end      └─────────────────────────┘      │ u16 n, entity path      │
                                                                              │ pad to 8, IPC batch     │
                                                                              └─────────────────────────┘

Row i of a frame has the row id `(time, counter + i)`. Integers are little-endian, texts UTF-8. The schema is an
encapsulated Arrow IPC schema message. The batch is an encapsulated IPC record batch message: timelines and components,
without the row id. A batch with dictionary-encoded columns is a whole IPC stream instead (kind STREAM). A batch that is
too large for the ring lies in a file of the spool (kind FILE); then the body ends in u8 kind of the batch, u64 bytes of
the batch, and the file's name. A row that a process without pyarrow logs has another schema and batch (kind BLOCKS; see
`block_frames`).

The producer packs into a private buffer. The collector unpacks a private copy, and checks every length and offset
before it uses it, because it does not trust shared memory.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from rerun_mp.errors import CorruptionError

__all__ = [
    "FILE_REFERENCE",
    "LARGE_FILE_PREFIX",
    "FrameKind",
    "RecordingKey",
    "Rows",
    "RowsFrame",
    "Shape",
    "large_file_prefix",
    "pack_rows_head",
    "pack_shape",
    "unpack_frames",
]

HEADER = struct.Struct("<IHH")
ROWS_HEAD = struct.Struct("<IIQQH")
FILE_REFERENCE = struct.Struct("<BQ")
LARGE_FILE_PREFIX = "large-"
"""Start of the names of spool files that hold one batch."""
ALIGNMENT = 8


def large_file_prefix(producer: int, generation: int) -> str:
    """Return the start of the names of one producer's spool files."""
    return f"{LARGE_FILE_PREFIX}{producer}-{generation}-"


class FrameKind(IntEnum):
    """The content of a frame."""

    SHAPE = 1
    ROWS = 2
    STREAM = 3
    FILE = 4
    BLOCKS = 5


ROWS_KINDS = frozenset({FrameKind.ROWS, FrameKind.STREAM, FrameKind.FILE, FrameKind.BLOCKS})


class RecordingKey(NamedTuple):
    """Identifies a recording: (application id, recording id)."""

    application_id: str
    recording_id: str


@dataclass(frozen=True, slots=True)
class Shape:
    """What all rows of one declaration share: recording, components, timelines, static or not."""

    recording: RecordingKey
    is_static: bool
    schema: bytes
    """Arrow IPC schema message (encapsulated) of timelines and components, with rerun's field metadata.
    BLOCKS: JSON."""


class Rows(NamedTuple):
    """The rows of one `log` call: of one shape, on one entity."""

    shape: Shape
    entity_path: bytes
    pieces: tuple[bytes | memoryview, ...]
    """The batch, in consecutive pieces; each memoryview has items of one byte."""
    size: int
    """Bytes of all pieces together."""
    rows: int
    kind: FrameKind


@dataclass(frozen=True, slots=True)
class RowsFrame:
    """One frame with rows, unpacked from a private copy of a slot."""

    kind: FrameKind
    shape: Shape
    entity_path: str
    rows: int
    row_time: int
    row_counter: int
    body: memoryview


@lru_cache(maxsize=256)
def pack_shape(shape: Shape) -> bytes:
    """Return the SHAPE frame that declares `shape`."""
    app = shape.recording.application_id.encode()
    rec = shape.recording.recording_id.encode()
    body = b"".join(
        (
            struct.pack("<H", len(app)),
            app,
            struct.pack("<H", len(rec)),
            rec,
            struct.pack("<BI", shape.is_static, len(shape.schema)),
            shape.schema,
        )
    )
    padding = -(HEADER.size + len(body)) % ALIGNMENT
    return HEADER.pack(HEADER.size + len(body) + padding, FrameKind.SHAPE, padding) + body + bytes(padding)


def pack_rows_head(
    kind: FrameKind, shape_offset: int, rows: int, row_time: int, row_counter: int, entity_path: bytes, body_size: int
) -> tuple[bytes, int]:
    """Return the bytes of a ROWS frame before its batch, and the size of the whole frame in bytes."""
    fixed = ROWS_HEAD.pack(shape_offset, rows, row_time, row_counter, len(entity_path))
    head = HEADER.size + len(fixed) + len(entity_path)
    gap = -head % ALIGNMENT
    padding = -body_size % ALIGNMENT
    size = head + gap + body_size + padding
    return HEADER.pack(size, kind, padding) + fixed + entity_path + bytes(gap), size


def unpack_frames(
    data: memoryview, base: int, shapes: dict[int, Shape], *, known: dict[bytes, Shape] | None = None
) -> tuple[list[RowsFrame], int, CorruptionError | None]:
    """Read frames until the first damaged one.

    Parameters
    ----------
    data
        A private copy of the slot from offset `base` on.
    base
        Offset of `data` in the slot, in bytes.
    shapes
        Offset -> shape of the SHAPE frames of this slot. New ones are added.
    known
        Body of a SHAPE frame -> shape, so that equal shapes of several slots become one object. New ones are added.

    Returns
    -------
    tuple
        The frames with rows, the slot's offset at which reading ended, and the damage found there, or None.
    """
    frames: list[RowsFrame] = []
    at = 0
    try:
        while at < len(data):
            at = _unpack_one(frames, data, at, base, shapes, known)
    except CorruptionError as error:
        return frames, base + at, error
    return frames, base + at, None


def _unpack_one(
    frames: list[RowsFrame],
    data: memoryview,
    at: int,
    base: int,
    shapes: dict[int, Shape],
    known: dict[bytes, Shape] | None,
) -> int:
    """Read the frame at offset `at` and return the offset of the next one."""
    end = len(data)
    if end - at < HEADER.size:
        raise CorruptionError(f"frame header cut off at offset {base + at}")
    size, kind, padding = HEADER.unpack_from(data, at)
    if size < HEADER.size or size % ALIGNMENT or size > end - at or padding >= ALIGNMENT:
        raise CorruptionError(f"frame at offset {base + at} claims {size} bytes of {end - at}")
    body = data[at + HEADER.size : at + size - padding]
    if kind == FrameKind.SHAPE:
        declaration = bytes(body)
        shape = known.get(declaration) if known is not None else None
        if shape is None:
            shape = _unpack_shape(body, base + at)
            if known is not None:
                known[declaration] = shape
        shapes[base + at] = shape
    elif kind in ROWS_KINDS:
        frames.append(_unpack_rows(FrameKind(kind), body, base + at, shapes))
    else:
        raise CorruptionError(f"frame at offset {base + at} has unknown kind {kind}")
    return at + int(size)


def _unpack_shape(body: memoryview, offset: int) -> Shape:
    try:
        at = 0
        texts = []
        for _ in range(2):
            (n,) = struct.unpack_from("<H", body, at)
            raw = bytes(body[at + 2 : at + 2 + n])
            if len(raw) != n:
                raise CorruptionError(f"shape at offset {offset} has a text cut off")
            texts.append(raw.decode())
            at += 2 + n
        is_static, n = struct.unpack_from("<BI", body, at)
        schema = bytes(body[at + 5 : at + 5 + n])
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptionError(f"shape at offset {offset} is damaged: {error}") from error
    if len(schema) != n or is_static > 1:
        raise CorruptionError(f"shape at offset {offset} is damaged")
    return Shape(RecordingKey(*texts), bool(is_static), schema)


def _unpack_rows(kind: FrameKind, body: memoryview, offset: int, shapes: dict[int, Shape]) -> RowsFrame:
    try:
        shape_offset, rows, row_time, row_counter, n = ROWS_HEAD.unpack_from(body, 0)
        path = bytes(body[ROWS_HEAD.size : ROWS_HEAD.size + n])
        text = path.decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise CorruptionError(f"rows at offset {offset} are damaged: {error}") from error
    shape = shapes.get(shape_offset)
    if shape is None or len(path) != n:
        raise CorruptionError(f"rows at offset {offset} refer to a shape at {shape_offset}, where none was declared")
    head = HEADER.size + ROWS_HEAD.size + n
    start = ROWS_HEAD.size + n + (-head % ALIGNMENT)
    if start > len(body):
        raise CorruptionError(f"rows at offset {offset} are cut off")
    return RowsFrame(kind, shape, text, rows, row_time, row_counter, body[start:])
