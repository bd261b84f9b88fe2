"""Writes the status of every sink to a file that participants read. Used by the worker's main thread only."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from rerun_mp.session.sink_status import SinkStatus, write_sinks

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.shm.segment import Segment

__all__ = ["SinkStatuses"]

MIN_INTERVAL = 0.2
"""Minimum seconds between two looks at the sinks."""


class SinkStatuses:
    """Writes the status of the sinks if it differs from the last one written."""

    def __init__(self, segment: Segment, outputs: Outputs) -> None:
        self._segment = segment
        self._outputs = outputs
        self._written: list[SinkStatus] = []
        self._next = 0.0

    def write_if_changed(self) -> None:
        """Write the status of every sink if one has changed, at most every `MIN_INTERVAL` seconds."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + MIN_INTERVAL
        statuses = self._outputs.sinks()
        if statuses != self._written:
            with contextlib.suppress(OSError):  # the disk is full: the next look tries again
                write_sinks(self._segment, statuses)
                self._written = statuses
