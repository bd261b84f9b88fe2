"""Accounting for a chunk that no store takes: its rows count as damaged instead of delivered.

A chunk has rows from any number of slots; the row ids identify the slots. Used by the worker's main thread, rarely.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from rerun_mp.collector.drain.chunks import BuiltChunks, ChunkBatch
from rerun_mp.collector.drain.sweep import Sweep

__all__ = ["count_as_damaged"]


def count_as_damaged(chunk: ChunkBatch, sweep: Sweep, built: BuiltChunks) -> None:
    """Count the rows of a chunk of `sweep` as damaged instead of good."""
    for slot, found in _rows_by_slot(chunk, sweep).items():
        rows = min(found, built.good_rows[slot])
        built.good_rows[slot] -= rows
        built.damaged_rows[slot] += rows


def _rows_by_slot(chunk: ChunkBatch, sweep: Sweep) -> Counter[int]:
    column = chunk.batch.column(0)
    raw = np.frombuffer(column.buffers()[1], ">u8").reshape(-1, 2)[column.offset : column.offset + len(column)]
    ids = set(map(tuple, raw.tolist()))
    found: Counter[int] = Counter()
    for taken in sweep.taken:
        for frame in taken.frames:
            is_of_chunk = (frame.shape.recording, frame.entity_path) == (chunk.recording, chunk.entity_path)
            if is_of_chunk and (frame.row_time, frame.row_counter) in ids:
                found[taken.slot] += frame.rows
    for rows in sweep.rows:
        if rows.shape.recording != chunk.recording or chunk.entity_path not in rows.paths:
            continue
        mask = np.array([path == chunk.entity_path for path in rows.paths])[rows.entity]
        pairs = zip(rows.time_half[mask].tolist(), rows.counter_half[mask].tolist(), strict=True)
        found[rows.slot] += sum(pair in ids for pair in pairs)
    return found
