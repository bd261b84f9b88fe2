"""Chunks of rows that the collector itself logs: start times, dropped rows, killed producers, figures.

The collector logs the start time of a recording, so that `init` need not load pyarrow. A chunk that is built again with
the same identity and time has the same ids. Called by the worker's main thread.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

import pyarrow as pa

from rerun_mp.collector.drain.chunks import ROW_ID_FIELD, SORBET_VERSION, ChunkBatch
from rerun_mp.encoding.frames import RecordingKey

__all__ = ["number_chunk", "properties_chunk", "start_time_chunk", "text_chunk"]

PROPERTIES = "/__properties"


def start_time_chunk(recording: RecordingKey, start_time_ns: int, noted_ns: int | None = None) -> ChunkBatch:
    """Return the property with which every rerun recording begins. It is the same chunk whenever it is built.

    `noted_ns`: the time of its row id, by which a later one replaces it; by default the start time.
    """
    identity = hashlib.blake2b("\0".join((*recording, PROPERTIES)).encode(), digest_size=8).digest()
    field = _component("RecordingInfo", "start_time", "Timestamp", pa.int64())
    return _chunk(
        recording, PROPERTIES, {field: [start_time_ns]}, identity, noted_ns or start_time_ns, log_time_ns=None
    )


def properties_chunk(
    recording: RecordingKey, entity_path: str, values: dict[str, int | str], identity: bytes, time_ns: int
) -> ChunkBatch:
    """Return one row with named values, logged at `time_ns`. It is the same chunk whenever it is built."""
    columns = {
        pa.field(name, pa.list_(pa.int64() if isinstance(value, int) else pa.string()), metadata=_data(name)): [value]
        for name, value in values.items()
    }
    return _chunk(recording, entity_path, columns, identity, time_ns, log_time_ns=time_ns)


def _data(component: str) -> dict[str, str]:
    return {"rerun:kind": "data", "rerun:component": component}


def text_chunk(
    recording: RecordingKey,
    entity_path: str,
    level: str,
    lines: list[str],
    identity: bytes | None = None,
    time_ns: int | None = None,
) -> ChunkBatch:
    """Return rows of text, logged now.

    Their ids are made from `identity`, eight bytes, and `time_ns`; without them they are new.
    """
    now = time.time_ns()
    columns = {
        _component("TextLog", "level", "TextLogLevel", pa.string()): [level] * len(lines),
        _component("TextLog", "text", "Text", pa.string()): lines,
    }
    return _chunk(recording, entity_path, columns, identity or os.urandom(8), time_ns or now, log_time_ns=now)


def number_chunk(recording: RecordingKey, entity_path: str, value: float, time_ns: int | None = None) -> ChunkBatch:
    """Return a row with one number, logged at `time_ns`, by default now."""
    now = time_ns or time.time_ns()
    field = _component("Scalars", "scalars", "Scalar", pa.float64())
    return _chunk(recording, entity_path, {field: [value]}, os.urandom(8), now, log_time_ns=now)


def _chunk(
    recording: RecordingKey,
    entity_path: str,
    columns: dict[Any, list[Any]],
    identity: bytes,
    time_ns: int,
    *,
    log_time_ns: int | None,
) -> ChunkBatch:
    rows = len(next(iter(columns.values())))
    first = int.from_bytes(identity, "little") >> 2
    ids = [time_ns.to_bytes(8, "big") + (first + number).to_bytes(8, "big") for number in range(rows)]
    fields: list[Any] = [ROW_ID_FIELD]
    arrays: list[Any] = [pa.array(ids, pa.binary(16))]
    if log_time_ns is not None:
        index = {"rerun:kind": "index", "rerun:index_name": "log_time"}
        fields.append(pa.field("log_time", pa.timestamp("ns"), metadata=index))
        arrays.append(pa.array([log_time_ns] * rows, pa.timestamp("ns")))
    fields += columns
    arrays += [pa.array([[value] for value in values], field.type) for field, values in columns.items()]
    chunk_id = f"chunk_{time_ns:016X}{identity.hex()}"
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": entity_path, "rerun:id": chunk_id}
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    return ChunkBatch(recording, entity_path, chunk_id, batch, batch.nbytes)


def _component(archetype: str, name: str, component_type: str, kind: Any) -> Any:
    metadata = {
        "rerun:kind": "data",
        "rerun:component": f"{archetype}:{name}",
        "rerun:archetype": f"rerun.archetypes.{archetype}",
        "rerun:component_type": f"rerun.components.{component_type}",
    }
    return pa.field(f"{archetype}:{name}", pa.list_(kind), metadata=metadata)
