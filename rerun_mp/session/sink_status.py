"""How each sink of a session is. The collector's worker writes it, any participant reads it.

A file in the runtime directory holds it. The worker replaces it by rename when a status has changed, at most five times
a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rerun_mp.session import directories
from rerun_mp.shm.segment import Segment

__all__ = ["SinkStatus", "read_sinks", "write_sinks"]

SINKS_NAME = "sinks.json"


class SinkStatus(NamedTuple):
    """The status of one sink of one recording; see `rerun_mp.statistics`."""

    application_id: str
    recording_id: str
    kind: Literal["file", "grpc", "serve"]
    """A file, a server or viewer that something else runs, or a server that the collector runs."""
    target: str
    """Path or URL."""
    state: Literal["writing", "diverted", "resting", "connected", "stalled", "retrying", "closed"]
    """A file is being written; its rows are diverted to the spool because it cannot be written; or it rests because no
    rows have come of late. A viewer is connected; it is stalled, taking no rows; or it cannot be reached and the
    collector keeps retrying. A closed sink gets no more rows."""
    since_ns: int
    """When that state began, nanoseconds since the epoch."""
    behind_rows: int
    """Stored rows that it has not acknowledged yet. Chunks older than some minutes count as one row at least."""
    behind_chunks: int
    """Chunks that it has not acknowledged yet."""
    missed_chunks: int
    """Chunks that it will never receive: the full spool dropped them before it was connected."""
    failure: str | None
    """The present failure; None if there is none."""
    acknowledged_rows: int | None = None
    """Rows that the server has answered for: it has them. Its own, if it was started anew. None for a file."""


def write_sinks(segment: Segment, sinks: Sequence[SinkStatus]) -> None:
    """Replace the file of the sinks' status.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    directories.replace_file(segment.runtime_directory, SINKS_NAME, json.dumps(sinks))


def read_sinks(segment: Segment) -> tuple[SinkStatus, ...]:
    """Return the last status of each sink; none before the first write, or if the file cannot be read."""
    try:
        with open(os.path.join(segment.runtime_directory, SINKS_NAME), encoding="utf-8") as file:
            return tuple(SinkStatus(*one) for one in json.load(file))
    except (OSError, ValueError, TypeError):
        return ()
