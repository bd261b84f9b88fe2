"""Decodes rows of blocks (`block_frames`) that came out of shared memory, where any process could have written them.

Each block's size is checked against the types that the shape declares, and Arrow validates the arrays, so a row takes
no more memory than its frame. Called by the worker's main thread, on private copies.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

import pyarrow as pa

from rerun_mp.encoding.block_frames import Declaration, read_declaration, unpack_blocks
from rerun_mp.encoding.component_arrays import array_of, arrow_type, component_field
from rerun_mp.encoding.component_types import parse_type
from rerun_mp.encoding.frames import RowsFrame
from rerun_mp.encoding.schemas import TIME_TYPES, index_field
from rerun_mp.errors import CorruptionError

__all__ = ["decode_blocks"]


def decode_blocks(frame: RowsFrame) -> Any:
    """Return the `pa.RecordBatch` of a row of blocks, as the encoder would have made it. It points into the frame.

    Raises
    ------
    CorruptionError
        If the bytes are no such row.
    """
    if frame.rows != 1:
        raise CorruptionError(f"a row of blocks of {frame.entity_path!r} claims to be {frame.rows} rows")
    declared = read_declaration(frame.shape.schema)
    times, blocks = unpack_blocks(declared, frame.body)
    try:
        columns = [
            pa.Array.from_buffers(TIME_TYPES[kind], 1, [None, pa.py_buffer(struct.pack("<q", time))])
            for time, (_, kind) in zip(times, declared.timelines, strict=True)
        ]
        at = 0
        for component in declared.components:
            kind = parse_type(component.type)
            own = blocks[at : at + kind.columns]
            at += kind.columns
            items = array_of(component.type, own, len(own[0]) // kind.unit)
            offsets = pa.py_buffer(struct.pack("<2i", 0, len(items)))
            columns.append(pa.Array.from_buffers(pa.list_(items.type), 1, [None, offsets], children=[items]))
        batch = pa.RecordBatch.from_arrays(columns, schema=_schema(declared))
        batch.validate(full=True)
    except (pa.ArrowException, ValueError, OverflowError, struct.error) as error:
        raise CorruptionError(f"blocks of {frame.entity_path!r} cannot be decoded: {error}") from error
    return batch


@lru_cache(maxsize=256)
def _schema(declared: Declaration) -> Any:
    fields = [index_field(name, kind) for name, kind in declared.timelines]
    for name, archetype, component_type, notation in declared.components:
        fields.append(component_field(name, archetype, component_type, pa.list_(arrow_type(notation))))
    return pa.schema(fields)
