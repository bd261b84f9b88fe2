"""`rerun-mp runs`: the recordings in a directory: of which application, how long, how many rows, and how they ended."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rerun_mp.encoding.log_messages import batch_of
from rerun_mp.encoding.rrd_files import MessageKind, is_complete, messages_in_file
from rerun_mp.encoding.rrd_stores import stores_in
from rerun_mp.errors import CorruptionError
from rerun_mp.viewers import spawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["Run", "find_runs", "open_runs"]

OWN = "/__rerun_mp/"
CRASHES = "/crashes"
START_TIME = "RecordingInfo:start_time"


class Run(NamedTuple):
    """One .rrd file."""

    path: str
    application: str
    """The application ids in the file, comma-separated."""
    started_ns: int | None
    """Nanoseconds since the epoch: the recording's property, else its first `log_time`."""
    duration_secs: float | None
    """Between the first and the last `log_time`."""
    rows: int
    """Rows of data, without properties and rows of rerun_mp."""
    entities: int
    ended: str
    """`complete`; `cut off`: the file has no footer, because its writer has not ended or was killed; `empty`: a run has
    taken the path, and no row is in the file yet; or `unreadable`."""
    crashes: tuple[str, ...]
    """What rerun_mp has logged of killed processes."""
    failure: str = ""
    """Why the file cannot be read; empty if it can."""


def find_runs(directory: Path) -> list[Run]:
    """Return the recordings in a directory and below, the latest first."""
    paths = sorted(path for path in directory.rglob("*.rrd") if path.is_file())
    return sorted((_read(path) for path in paths), key=lambda run: -(run.started_ns or 0))


def open_runs(runs: Sequence[Run]) -> int:
    """Open all readable recordings in one viewer, and return its exit status.

    Raises
    ------
    ViewerError
        If there is no viewer.
    """
    return subprocess.run([spawn.program(), *(run.path for run in runs if run.application)], check=False).returncode


def _read(path: Path) -> Run:
    try:
        if path.stat().st_size == 0:
            return Run(str(path), "", path.stat().st_mtime_ns, None, 0, 0, "empty", ())
        ended = "complete" if is_complete(path) else "cut off"
        try:
            applications, chunks = _read_with_rerun(path)
        except (RuntimeError, ValueError):
            if ended == "complete":
                raise
            applications, chunks = _read_whole_messages(path)
    except (OSError, RuntimeError, ValueError, KeyError, CorruptionError) as error:
        modified = path.stat().st_mtime_ns if path.exists() else None
        return Run(str(path), "", modified, None, 0, 0, "unreadable", (), " ".join(str(error).split()))
    data = [chunk for chunk in chunks if not chunk.path.startswith("/__")]
    times = [moment for chunk in data for moment in chunk.times]
    started = next((chunk.started_ns for chunk in chunks if chunk.started_ns is not None), min(times, default=None))
    return Run(
        str(path),
        ", ".join(sorted(applications)),
        started,
        (max(times) - min(times)) / 1e9 if times else None,
        sum(chunk.rows for chunk in data),
        len({chunk.path for chunk in data}),
        ended,
        tuple(text for chunk in chunks for text in chunk.crashes),
    )


class _Chunk(NamedTuple):
    path: str
    rows: int
    times: tuple[int, ...]
    started_ns: int | None
    crashes: tuple[str, ...]


def _read_with_rerun(path: Path) -> tuple[set[str], list[_Chunk]]:
    """Return a file's application ids and chunks. Raises RuntimeError or ValueError if rerun cannot read the file."""
    from rerun.chunk import RrdReader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rerun warns of each file without a footer
        reader = RrdReader(path)
        applications = {entry.application_id for entry in reader.recordings()}
        return applications, list(_chunks(chunk.to_record_batch() for chunk in reader.stream()))


def _read_whole_messages(path: Path) -> tuple[set[str], list[_Chunk]]:
    """Return what the whole messages of a file hold. Rerun reads no file that ends inside a message."""
    recordings = [store for store in stores_in(str(path)) if not store.is_blueprint]
    batches = (
        batch_of(payload)
        for kind, payload in messages_in_file(path)
        if kind == MessageKind.CHUNK and any(store.names(payload) for store in recordings)
    )
    return {store.application_id for store in recordings}, list(_chunks(batches))


def _chunks(batches: Iterable[Any]) -> Iterator[_Chunk]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in batches:
        path = "/" + batch.schema.metadata[b"rerun:entity_path"].decode().strip("/")
        names = batch.schema.names
        times: tuple[int, ...] = ()
        if "log_time" in names and batch.num_rows:
            ends = pc.min_max(batch.column("log_time").cast(pa.int64()))
            times = tuple(ends[name].as_py() for name in ("min", "max") if ends[name].is_valid)
        started = None
        if START_TIME in names and batch.num_rows:
            values = batch.column(START_TIME)[0]
            started = values.values.cast(pa.int64())[0].as_py() if values.is_valid and len(values.values) else None
        crashes: tuple[str, ...] = ()
        if path.startswith(OWN) and path.endswith(CRASHES) and "TextLog:text" in names:
            crashes = tuple(text for texts in batch.column("TextLog:text").to_pylist() for text in texts or ())
        yield _Chunk(path, batch.num_rows, times, started, crashes)
