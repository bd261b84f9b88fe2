"""Recordings, read back through rerun-sdk: the rows of an .rrd file, and whether rerun accepts it as complete."""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import rerun_cli

from tests.harness.rerun_names import RrdReader

__all__ = [
    "RERUN_BINARY",
    "ChunkRows",
    "Row",
    "chunks_of",
    "count_rows",
    "recordings_in",
    "rows_before_cut",
    "rows_of",
    "verify",
]

RERUN_BINARY = Path(rerun_cli.__file__).with_name("rerun")
"""The native program. The console script of that name starts it, and would leave it running when killed."""

ROW_ID = "rerun.controls.RowId"
RECORDING_PROPERTIES = ("/__properties", "/__rerun_mp/crashes")
"""Entities that programs have not logged: the recording's properties, and reports of killed processes."""


@dataclass(frozen=True, slots=True)
class ChunkRows:
    """The rows of one chunk, as columns of equal length."""

    entity_path: str
    """Without a leading slash, as users write it."""
    chunk_id: str
    row_ids: list[bytes]
    """TUIDs of 16 bytes, which sort by time."""
    times: dict[str, list[int | None]]
    """Timeline to sequence number or nanoseconds. Empty for static rows."""
    components: dict[str, Any]
    """Component to `pyarrow.ListArray`: one list of instances per row."""

    def __len__(self) -> int:
        return len(self.row_ids)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. Components are `pyarrow.ListScalar`: ask for `.as_py()` where the value matters."""

    entity_path: str
    row_id: bytes
    times: dict[str, int]
    components: dict[str, Any]


def chunks_of(path: str | Path, *, properties: bool = False, recording_id: str | None = None) -> Iterator[ChunkRows]:
    """Yield the chunks of one recording of the .rrd at `path`.

    Parameters
    ----------
    path
        The file. It need not be complete.
    properties
        Whether the recording's own properties, which `init` writes, are yielded too.
    recording_id
        Which recording, if the file holds several. By default its first.
    """
    reader = RrdReader(path)
    store = None
    if recording_id is not None:
        store = next(entry for entry in reader.recordings() if entry.recording_id == recording_id)
    for chunk in reader.stream(store=store):
        if properties or not chunk.entity_path.startswith(RECORDING_PROPERTIES):
            yield _columns(chunk.to_record_batch())


def rows_of(path: str | Path, *, properties: bool = False, recording_id: str | None = None) -> list[Row]:
    """Return the rows of one recording of the .rrd at `path`, in the order of the file. See `chunks_of`."""
    rows: list[Row] = []
    for chunk in chunks_of(path, properties=properties, recording_id=recording_id):
        rows += _rows_in(chunk)
    return rows


def rows_before_cut(path: str | Path) -> list[Row]:
    """Return the rows of an .rrd file whose writer was killed. Its last message may be cut off."""
    rows: list[Row] = []
    with contextlib.suppress(RuntimeError):
        for chunk in chunks_of(path):
            rows += _rows_in(chunk)
    return rows


def _rows_in(chunk: ChunkRows) -> Iterator[Row]:
    for i, row_id in enumerate(chunk.row_ids):
        yield Row(
            chunk.entity_path,
            row_id,
            {name: time for name, values in chunk.times.items() if (time := values[i]) is not None},
            {name: column[i] for name, column in chunk.components.items() if column[i].is_valid},
        )


def count_rows(path: str | Path, *, timeline: str | None = None, below: str = "") -> Counter[str]:
    """Return the number of rows of each entity path that begins with `below`. Fast enough for millions of rows.

    Raises
    ------
    AssertionError
        If a row id occurs twice or, with `timeline`, a time of one entity does.
    """
    ids: list[Any] = []
    times: defaultdict[str, list[Any]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for chunk in RrdReader(path).stream():
        entity_path = chunk.entity_path.removeprefix("/")
        if chunk.entity_path.startswith(RECORDING_PROPERTIES) or not entity_path.startswith(below):
            continue
        batch = chunk.to_record_batch()
        counts[entity_path] += batch.num_rows
        column = batch.column(batch.schema.get_field_index(ROW_ID))
        ids.append(np.frombuffer(column.buffers()[1], "V16", batch.num_rows, 16 * column.offset))
        if timeline is not None:
            moments = batch.column(batch.schema.get_field_index(timeline)).view(pa.int64())
            times[entity_path].append(moments.to_numpy(zero_copy_only=False))
    assert len(np.unique(np.concatenate(ids)) if ids else ids) == counts.total(), "a row id occurs twice"
    for entity_path, parts in times.items():
        assert len(np.unique(np.concatenate(parts))) == counts[entity_path], f"a time of {entity_path} occurs twice"
    return counts


def recordings_in(path: str | Path) -> list[tuple[str, str]]:
    """Return application id and recording id of each recording in the .rrd at `path`."""
    return [(entry.application_id, entry.recording_id) for entry in RrdReader(path).recordings()]


def verify(path: str | Path, *, timeout_secs: float = 60.0) -> None:
    """Assert that `rerun rrd verify` accepts the file: it is complete, has its footer, and every chunk is readable.

    Raises
    ------
    AssertionError
        With the program's output.
    """
    done = subprocess.run(
        [RERUN_BINARY, "rrd", "verify", str(path)], capture_output=True, text=True, timeout=timeout_secs, check=False
    )
    assert done.returncode == 0, f"`rerun rrd verify {path}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"


def _columns(batch: Any) -> ChunkRows:
    metadata = batch.schema.metadata
    times: dict[str, list[int | None]] = {}
    components: dict[str, Any] = {}
    row_ids: list[bytes] = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        kind = field.metadata[b"rerun:kind"]
        if field.name == ROW_ID:
            row_ids = column.to_pylist()
        elif kind == b"index":
            times[field.metadata[b"rerun:index_name"].decode()] = column.view(pa.int64()).to_pylist()
        elif kind == b"data":
            components[field.metadata[b"rerun:component"].decode()] = column
    return ChunkRows(
        metadata[b"rerun:entity_path"].decode().removeprefix("/"),
        metadata[b"rerun:id"].decode(),
        row_ids,
        times,
        components,
    )
