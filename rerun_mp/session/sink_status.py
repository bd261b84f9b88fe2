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
    """How one sink of one recording is; see `rerun_mp.statistics`."""

    application_id: str
    recording_id: str
    kind: Literal["file", "grpc", "serve"]
    """A file, somebody's server or viewer, or a server of ours."""
    target: str
    """Path or URL."""
    state: Literal["writing", "diverted", "resting", "connected", "stalled", "retrying", "closed"]
    """A file is written, or cannot be and its rows go to the spool, or nothing has come for it of late; a viewer takes
    what it gets, does not for the moment, or is not there, and is tried again and again."""
    since_ns: int
    """When it came into that state, nanoseconds since the epoch."""
    behind_rows: int
    """Rows that are stored and that it has not got yet; of what is older than some minutes at least one a chunk."""
    behind_chunks: int
    """Chunks that it has not got yet."""
    missed_chunks: int
    """Chunks that it will never get, because the spool's bound had them dropped before it was there."""
    failure: str | None
    """What is wrong, if something is."""


def write_sinks(segment: Segment, sinks: Sequence[SinkStatus]) -> None:
    """Replace what is said of the sinks.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    directories.replace_file(segment.runtime_directory, SINKS_NAME, json.dumps(sinks))


def read_sinks(segment: Segment) -> tuple[SinkStatus, ...]:
    """Return what was last said of each; nothing, if that is not there yet or cannot be read."""
    try:
        with open(os.path.join(segment.runtime_directory, SINKS_NAME), encoding="utf-8") as file:
            return tuple(SinkStatus(*one) for one in json.load(file))
    except (OSError, ValueError, TypeError):
        return ()
