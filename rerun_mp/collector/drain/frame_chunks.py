"""Rows to chunks: what one sweep took of all slots, grouped so that the chunk rate depends on entities, not on workers.

Rows are grouped by (recording, entity path, shape, scope) across slots. A frame is a run of rows with consecutive row
ids, so ordering the frames of a group by their first row id orders its rows; where two runs overlap, or a bound is
reached, the group continues in a further part. Each part is one chunk.

Chunk ids are deterministic: the same ranges of the same segment make the same parts with the same ids, in whatever
order the slots come. A restarted collector that repeats an unfinished sweep therefore sends chunks that readers know
already, and keep once::

    chunk_ 18EAB2CD8DC2EB08  54f630a806e5462e
           time half of the  64 bits of a BLAKE2b over segment nonce, recording, entity path, shape, part number
           part's first row  and the sorted (slot, epoch, start, stop) of all slots that contributed to the group

Pure pyarrow and numpy; called by the collector's worker thread, on private copies of slots. A damaged frame costs its
own rows, which are counted for its slot, and nothing else.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.collector.drain.trusted_ipc import TrustedSchema, decode_frame, trust_schema
from rerun_mp.encoding.frames import FrameKind, RecordingKey, RowsFrame, Shape
from rerun_mp.errors import CorruptionError

__all__ = ["MAX_PART_BYTES", "MAX_PART_ROWS", "BuiltChunks", "ChunkBatch", "TakenFrames", "build_chunks"]

MAX_PART_BYTES = 1 << 20
MAX_PART_ROWS = 65_536
"""A part ends before the frame that would take it over either bound; a single larger frame is a part of its own.

rerun-sdk encodes a chunk into memory that it takes anew: with 8 MB a chunk it brought 400 MB/s of images into a file
and spent most of it on page faults, with 1 MB a chunk 1,700 MB/s.
"""

MAX_SCHEMAS = 1024
"""Schemas remembered between sweeps; the oldest is forgotten first."""
MAX_KNOWN_SCHEMA = 1 << 16
"""Longer ones are not remembered, so that hostile ones cannot fill the memory."""
MIN_ROW_BYTES = 4
"""A row takes at least the offset of a list of its frame, so the row ids made for it stay in proportion."""

ROW_ID_FIELD: Any = pa.field(
    "rerun.controls.RowId",
    pa.binary(16),
    nullable=False,
    metadata={
        "rerun:kind": "control",
        "ARROW:extension:name": "rerun.datatypes.TUID",
        "ARROW:extension:metadata": '{"namespace":"row"}',
    },
)
SORBET_VERSION = "0.1.4"
U64 = 1 << 64


@dataclass(frozen=True, slots=True)
class TakenFrames:
    """What one sweep took of one slot: the range [start, stop) of its epoch, unpacked."""

    slot: int
    epoch: int
    start: int
    stop: int
    frames: list[RowsFrame]
    scope: int = 0
    """Of the producer: `config.Scope`."""

    @property
    def range(self) -> tuple[int, int, int, int]:
        """(slot, epoch, start, stop)."""
        return (self.slot, self.epoch, self.start, self.stop)


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """One chunk, as the record batch that rerun-sdk takes verbatim."""

    recording: RecordingKey
    entity_path: str
    chunk_id: str
    batch: Any
    """`pa.RecordBatch` with row ids, timelines and components. May point into the frames that it was made of."""
    num_bytes: int
    scope: int = 0
    """Of the producers of its rows: `config.Scope`."""

    @property
    def num_rows(self) -> int:
        """Rows of the chunk."""
        return int(self.batch.num_rows)


@dataclass(frozen=True, slots=True)
class BuiltChunks:
    """The chunks of one sweep, and how many rows of each slot are in them or were damaged."""

    chunks: list[ChunkBatch] = field(default_factory=list)
    good_rows: Counter[int] = field(default_factory=Counter)
    """slot -> rows that are in `chunks`."""
    damaged_rows: Counter[int] = field(default_factory=Counter)
    """slot -> rows that frames claimed whose bytes are not what they should be."""


class _Group(NamedTuple):
    recording: RecordingKey
    entity_path: str
    shape: Shape
    scope: int


class _Run(NamedTuple):
    """A decoded frame: rows with ids (time, counter), (time, counter + 1) ... Compares by row id, then by slot."""

    time: int
    counter: int
    slot: int
    nth: int
    rows: int
    num_bytes: int
    alone: bool
    batch: Any

    @property
    def first(self) -> tuple[int, int]:
        return (self.time, self.counter)

    @property
    def last(self) -> tuple[int, int]:
        return (self.time, self.counter + self.rows - 1)


_schemas: dict[bytes, TrustedSchema | CorruptionError] = {}
"""What `trust_schema` said of each schema. A cache of pure results: nothing in it depends on process or fork."""


def build_chunks(taken: Sequence[TakenFrames], *, nonce: bytes) -> BuiltChunks:
    """Group, decode and order what a sweep took.

    Parameters
    ----------
    taken
        The ranges of the sweep, in any order.
    nonce
        The segment's random nonce, so that slots of another segment never make the same ids.
    """
    built = BuiltChunks()
    runs: defaultdict[_Group, list[_Run]] = defaultdict(list)
    ranges: defaultdict[_Group, set[tuple[int, int, int, int]]] = defaultdict(set)
    for piece in taken:
        for nth, frame in enumerate(piece.frames):
            try:
                batch = decode_frame(frame, _trusted(frame.shape.schema)) if _has_sane_head(frame) else None
            except CorruptionError:
                batch = None
            if batch is None:
                # Whoever claims none may have had some.
                built.damaged_rows[piece.slot] += max(frame.rows, 1)
                continue
            if frame.rows == 0:
                continue
            built.good_rows[piece.slot] += frame.rows
            group = _Group(frame.shape.recording, frame.entity_path, frame.shape, piece.scope)
            ranges[group].add(piece.range)
            alone = frame.kind == FrameKind.STREAM  # its dictionaries are its own
            size = len(frame.body)
            run = _Run(frame.row_time, frame.row_counter, piece.slot, nth, frame.rows, size, alone, batch)
            runs[group].append(run)
    for group in sorted(runs, key=lambda g: (g.recording, g.entity_path, g.shape.schema, g.shape.is_static, g.scope)):
        digest = _group_digest(nonce, group, sorted(ranges[group]))
        for number, part in enumerate(_parts(sorted(runs[group], key=lambda run: run[:4]))):
            built.chunks.append(_chunk(group, part, _chunk_id(digest, number, part[0].time)))
    return built


def _has_sane_head(frame: RowsFrame) -> bool:
    return (
        frame.rows * MIN_ROW_BYTES <= len(frame.body)
        and frame.row_counter + frame.rows <= U64
        and "\0" not in frame.entity_path
        and frame.entity_path != ""
    )


def _trusted(schema: bytes) -> TrustedSchema:
    found = _schemas.get(schema)
    if found is None:
        try:
            found = trust_schema(schema)
        except CorruptionError as error:
            found = error.with_traceback(None)
        if len(_schemas) >= MAX_SCHEMAS:
            del _schemas[next(iter(_schemas))]
        if len(schema) <= MAX_KNOWN_SCHEMA:
            _schemas[schema] = found
    if isinstance(found, CorruptionError):
        raise CorruptionError(*found.args)
    return found


def _parts(runs: list[_Run]) -> Iterator[list[_Run]]:
    part: list[_Run] = []
    rows = num_bytes = 0
    for run in runs:
        if part and (
            rows + run.rows > MAX_PART_ROWS
            or num_bytes + run.num_bytes > MAX_PART_BYTES
            or run.alone
            or part[-1].alone
            or run.first <= part[-1].last
        ):
            yield part
            part, rows, num_bytes = [], 0, 0
        part.append(run)
        rows += run.rows
        num_bytes += run.num_bytes
    if part:
        yield part


def _chunk(group: _Group, part: list[_Run], chunk_id: str) -> ChunkBatch:
    if len(part) == 1:
        batch = part[0].batch
    else:
        (batch,) = pa.Table.from_batches([run.batch for run in part]).combine_chunks().to_batches()
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": group.entity_path, "rerun:id": chunk_id}
    columns = [_row_ids(part), *batch.columns]
    schema: Any = pa.schema([ROW_ID_FIELD, *batch.schema], metadata=metadata)
    whole = pa.RecordBatch.from_arrays(columns, schema=schema)
    num_bytes = sum(run.num_bytes for run in part) + 16 * batch.num_rows
    return ChunkBatch(group.recording, group.entity_path, chunk_id, whole, num_bytes, group.scope)


def _row_ids(part: list[_Run]) -> Any:
    rows = np.array([run.rows for run in part], np.int64)
    starts = np.cumsum(rows) - rows
    total = int(rows.sum())
    ids = np.empty((total, 2), ">u8")
    ids[:, 0] = np.repeat(np.array([run.time for run in part], np.uint64), rows)
    first = np.array([run.counter for run in part], np.uint64)
    within = np.arange(total, dtype=np.uint64) - np.repeat(starts, rows).astype(np.uint64)
    ids[:, 1] = np.repeat(first, rows) + within
    return pa.Array.from_buffers(ROW_ID_FIELD.type, total, [None, pa.py_buffer(ids)])


def _group_digest(nonce: bytes, group: _Group, ranges: list[tuple[int, int, int, int]]) -> Any:
    digest = hashlib.blake2b(digest_size=8)
    texts = (*group.recording, group.entity_path)
    for piece in (nonce, *(text.encode() for text in texts), group.shape.schema):
        digest.update(struct.pack("<Q", len(piece)))  # so that ("ab", "c") and ("a", "bc") differ
        digest.update(piece)
    digest.update(struct.pack("<?Q", group.shape.is_static, len(ranges)))
    digest.update(struct.pack(f"<{4 * len(ranges)}Q", *itertools.chain.from_iterable(ranges)))
    return digest


def _chunk_id(group_digest: Any, number: int, time: int) -> str:
    digest = group_digest.copy()
    digest.update(struct.pack("<Q", number))
    return f"chunk_{time:016X}{digest.hexdigest()}"
