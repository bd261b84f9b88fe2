"""The property that every recording of rerun's begins with: when it began.

The worker makes it from the recording's configuration, so that `init` need not load pyarrow.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from rerun_mp.collector.chunks import ROW_ID_FIELD, SORBET_VERSION, ChunkBatch
from rerun_mp.encoding.frames import RecordingKey

__all__ = ["start_time_chunk"]

ENTITY = "/__properties"
START_TIME = pa.field(
    "RecordingInfo:start_time",
    pa.list_(pa.int64()),
    metadata={
        "rerun:kind": "data",
        "rerun:component": "RecordingInfo:start_time",
        "rerun:archetype": "rerun.archetypes.RecordingInfo",
        "rerun:component_type": "rerun.components.Timestamp",
    },
)


def start_time_chunk(recording: RecordingKey, start_time_ns: int) -> ChunkBatch:
    """Return the chunk that says when a recording began: the same one, ids included, whenever it is made.

    Parameters
    ----------
    recording
        Which recording.
    start_time_ns
        Nanoseconds since the epoch.
    """
    digest = hashlib.blake2b("\0".join((*recording, ENTITY)).encode(), digest_size=16).digest()
    time_half = start_time_ns.to_bytes(8, "big")
    chunk_id = f"chunk_{time_half.hex().upper()}{digest[:8].hex()}"
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": ENTITY, "rerun:id": chunk_id}
    batch = pa.RecordBatch.from_arrays(
        [pa.array([time_half + digest[8:]], pa.binary(16)), pa.array([[start_time_ns]], START_TIME.type)],
        schema=pa.schema([ROW_ID_FIELD, START_TIME], metadata=metadata),
    )
    return ChunkBatch(recording, ENTITY, chunk_id, batch, batch.nbytes)
