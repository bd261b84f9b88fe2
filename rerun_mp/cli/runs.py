"""`rerun-mp runs`: the recordings in a directory: of which application, how long, how many rows, and how they ended."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rerun_mp.encoding.rrd_files import is_complete
from rerun_mp.viewers import spawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """`complete`, or `cut off`: the file has no footer, because its writer has not ended or was killed."""
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
    return subprocess.run([spawn.program(), *(run.path for run in runs if not run.failure)], check=False).returncode


def _read(path: Path) -> Run:
    from rerun.chunk import RrdReader

    try:
        ended = "complete" if is_complete(path) else "cut off"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rerun warns of each file without a footer
            reader = RrdReader(path)
            applications = sorted({entry.application_id for entry in reader.recordings()})
            chunks = list(_chunks(reader))
    except (OSError, RuntimeError, ValueError) as error:
        modified = path.stat().st_mtime_ns if path.exists() else None
        return Run(str(path), "", modified, None, 0, 0, "unreadable", (), " ".join(str(error).split()))
    data = [chunk for chunk in chunks if not chunk.path.startswith("/__")]
    times = [moment for chunk in data for moment in chunk.times]
    started = next((chunk.started_ns for chunk in chunks if chunk.started_ns is not None), min(times, default=None))
    return Run(
        str(path),
        ", ".join(applications),
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


def _chunks(reader: Any) -> Iterator[_Chunk]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for chunk in reader.stream():
        path = "/" + chunk.entity_path.strip("/")
        batch = chunk.to_record_batch()
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
