"""The status of each sink of a session. The collector's worker writes it, any participant reads it.

A file in the runtime directory holds it. The worker replaces it by rename when a status has changed, at most five times
a second.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from rerun_mp.session import directories
from rerun_mp.session.statistics import SinkStatus
from rerun_mp.shm.segment import Segment

__all__ = ["SinkStatus", "read_sinks", "write_sinks"]

SINKS_NAME = "sinks.json"


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
