"""Frames to chunks: the frames that one sweep took are grouped, so that chunks depend on entities, not on producers.

Rows are grouped by (recording, entity path, shape, scope) across slots. A frame is a run of rows with consecutive row
ids. Ordering the frames of a group by their first row id orders the group's rows. Where two runs overlap, or a maximum
is reached, the group continues in another chunk.

Chunk ids are deterministic: the same ranges of the same segment give the same chunks with the same ids, in whatever
order the slots come. A collector that repeats an unfinished sweep therefore sends chunks that readers have already, and
readers keep one copy::

    chunk_ 18EAB2CD8DC2EB08  54f630a806e5462e
           time half of the  64 bits of a BLAKE2b over segment nonce, recording, entity path, shape, number of the
           first row's id    chunk in its group, and the sorted (slot, epoch, start, stop) of the group's slots

A damaged frame costs its own rows, which are counted for its slot, and nothing else. Uses pyarrow and numpy only, on
private copies of slots. Called by the worker's main thread.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rerun_mp.collector.drain.block_rows import decode_blocks
from rerun_mp.collector.drain.chunks import (
    MAX_CHUNK_BYTES,
    MAX_CHUNK_ROWS,
    ROW_ID_FIELD,
    SORBET_VERSION,
    BuiltChunks,
    ChunkBatch,
)
from rerun_mp.collector.drain.trusted_ipc import decode_frame
from rerun_mp.collector.drain.trusted_schema import TrustedSchema, trust_schema
from rerun_mp.encoding.frames import FrameKind, RecordingKey, RowsFrame, Shape
from rerun_mp.errors import CorruptionError

__all__ = ["TakenFrames", "build_chunks"]

MAX_SCHEMAS = 1024
"""Maximum schemas cached between sweeps; the oldest is removed first."""
MAX_CACHED_SCHEMA_BYTES = 1 << 16
"""Maximum bytes of a cached schema, so that hostile schemas cannot fill the memory."""
ROW_ID = struct.Struct(">QQ")
"""Time in ns, counter."""
MIN_FRAME_ROW_BYTES = 4
"""Bytes of a list offset, which each row of a frame has: bounds the row ids made for a frame by its size."""

U64 = 1 << 64


@dataclass(frozen=True, slots=True)
class TakenFrames:
    """The frames that one sweep took from one slot: the range [start, stop) of its epoch."""

    slot: int
    epoch: int
    start: int
    stop: int
    frames: list[RowsFrame]
    scope: int = 0
    """Scope of the producer: `config.Scope`."""

    @property
    def range(self) -> tuple[int, int, int, int]:
        """(slot, epoch, start, stop)."""
        return (self.slot, self.epoch, self.start, self.stop)


class _Group(NamedTuple):
    recording: RecordingKey
    entity_path: str
    shape: Shape
    scope: int


class _Run(NamedTuple):
    """A decoded frame: rows with ids (time, counter), (time, counter + 1) ... Sorted by row id, then by slot."""

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
"""Schema message -> the result of `trust_schema`, or its error. A cache of pure results, equal in every process."""


def build_chunks(taken: Sequence[TakenFrames], *, nonce: bytes) -> BuiltChunks:
    """Group, decode and order the frames of a sweep.

    Parameters
    ----------
    taken
        The ranges of the sweep, in any order.
    nonce
        The segment's random nonce, so that slots of another segment never give the same ids.
    """
    built = BuiltChunks()
    runs: defaultdict[_Group, list[_Run]] = defaultdict(list)
    ranges: defaultdict[_Group, set[tuple[int, int, int, int]]] = defaultdict(set)
    for piece in taken:
        for nth, frame in enumerate(piece.frames):
            try:
                batch = _decode(frame) if _has_sane_head(frame) else None
            except CorruptionError:
                batch = None
            if batch is None:
                # A damaged frame that claims no rows may have had one.
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
        for number, runs_of_chunk in enumerate(_divide(sorted(runs[group], key=lambda run: run[:4]))):
            built.chunks.append(_chunk(group, runs_of_chunk, _chunk_id(digest, number, runs_of_chunk[0].time)))
    return built


def _has_sane_head(frame: RowsFrame) -> bool:
    return (
        frame.rows * MIN_FRAME_ROW_BYTES <= len(frame.body)
        and frame.row_counter + frame.rows <= U64
        and "\0" not in frame.entity_path
        and frame.entity_path != ""
    )


def _decode(frame: RowsFrame) -> Any:
    if frame.kind == FrameKind.BLOCKS:
        return decode_blocks(frame)
    return decode_frame(frame, _trusted(frame.shape.schema))


def _trusted(schema: bytes) -> TrustedSchema:
    found = _schemas.get(schema)
    if found is None:
        try:
            found = trust_schema(schema)
        except CorruptionError as error:
            found = error.with_traceback(None)
        if len(_schemas) >= MAX_SCHEMAS:
            del _schemas[next(iter(_schemas))]
        if len(schema) <= MAX_CACHED_SCHEMA_BYTES:
            _schemas[schema] = found
    if isinstance(found, CorruptionError):
        raise CorruptionError(*found.args)
    return found


def _divide(runs: list[_Run]) -> Iterator[list[_Run]]:
    """Yield the runs of each chunk of a group."""
    chunk: list[_Run] = []
    rows = num_bytes = 0
    for run in runs:
        if chunk and (
            rows + run.rows > MAX_CHUNK_ROWS
            or num_bytes + run.num_bytes > MAX_CHUNK_BYTES
            or run.alone
            or chunk[-1].alone
            or run.first <= chunk[-1].last
        ):
            yield chunk
            chunk, rows, num_bytes = [], 0, 0
        chunk.append(run)
        rows += run.rows
        num_bytes += run.num_bytes
    if chunk:
        yield chunk


def _chunk(group: _Group, runs: list[_Run], chunk_id: str) -> ChunkBatch:
    if len(runs) == 1:
        batch = runs[0].batch
    else:
        (batch,) = pa.Table.from_batches([run.batch for run in runs]).combine_chunks().to_batches()
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": group.entity_path, "rerun:id": chunk_id}
    columns = [_row_ids(runs), *batch.columns]
    schema: Any = pa.schema([ROW_ID_FIELD, *batch.schema], metadata=metadata)
    whole = pa.RecordBatch.from_arrays(columns, schema=schema)
    num_bytes = sum(run.num_bytes for run in runs) + 16 * batch.num_rows
    return ChunkBatch(group.recording, group.entity_path, chunk_id, whole, num_bytes, group.scope)


def _row_ids(runs: list[_Run]) -> Any:
    if all(run.rows == 1 for run in runs):
        packed = b"".join([ROW_ID.pack(run.time, run.counter) for run in runs])
        return pa.Array.from_buffers(ROW_ID_FIELD.type, len(runs), [None, pa.py_buffer(packed)])
    rows = np.array([run.rows for run in runs], np.int64)
    starts = np.cumsum(rows) - rows
    total = int(rows.sum())
    ids = np.empty((total, 2), ">u8")
    ids[:, 0] = np.repeat(np.array([run.time for run in runs], np.uint64), rows)
    first = np.array([run.counter for run in runs], np.uint64)
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
