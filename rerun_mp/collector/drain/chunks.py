"""Chunks, which the collector builds from the rows of a sweep, and which stores and live sinks take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from rerun_mp.encoding.frames import RecordingKey

__all__ = ["MAX_CHUNK_BYTES", "MAX_CHUNK_ROWS", "ROW_ID_FIELD", "SORBET_VERSION", "BuiltChunks", "ChunkBatch"]

MAX_CHUNK_BYTES = 1 << 20
MAX_CHUNK_ROWS = 65_536
"""A chunk ends before the frame that would take it beyond either maximum; a single larger frame is a chunk by itself.

rerun-sdk encodes each chunk into newly allocated memory. With 8 MB a chunk it wrote 400 MB/s of images to a file and
spent most of the time on page faults; with 1 MB a chunk it wrote 1,700 MB/s.
"""

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


@dataclass(frozen=True, slots=True)
class ChunkBatch:
    """One chunk, as the record batch that rerun-sdk takes verbatim."""

    recording: RecordingKey
    entity_path: str
    chunk_id: str
    batch: Any
    """`pa.RecordBatch` with row ids, timelines and components. It may point into the frames that it was built from."""
    num_bytes: int
    scope: int = 0
    """Scope of the producers of its rows: `config.Scope`."""
    is_plain: bool = False
    """Whether no column has a dictionary, so that a message of it is made in fewer steps. False: not known."""

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.batch.num_rows)


@dataclass(frozen=True, slots=True)
class BuiltChunks:
    """The chunks of one sweep, and how many rows of each slot are in them or were damaged."""

    chunks: list[ChunkBatch] = field(default_factory=list)
    good_rows: Counter[int] = field(default_factory=Counter)
    """slot -> rows that are in `chunks`."""
    damaged_rows: Counter[int] = field(default_factory=Counter)
    """slot -> rows claimed by frames that cannot be decoded."""
