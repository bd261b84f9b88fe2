"""Logs the session's own figures as time series into its recordings, if `Settings.figures` asks for them.

They are rows on `/__rerun_mp/figures/...`, on the timeline `log_time`: the share of the ring in use, rows per second,
rows dropped so far, and the rows that the live sink furthest behind has still to get. The blueprint of
`rerun_mp.figures` shows them in a viewer. Used by the worker's main thread only.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.collector.drain.own_chunks import number_chunk
from rerun_mp.collector.reporting.own_entities import MAX_RECORDINGS, own_entity

if TYPE_CHECKING:
    from rerun_mp.collector.drain.chunks import BuiltChunks
    from rerun_mp.collector.drain.sweep import Sweeper
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SessionConfig

__all__ = ["FIGURES_ENTITY", "FigureLogger"]

FIGURES_ENTITY = "figures"
MIN_INTERVAL = 0.05
"""Minimum seconds between two rows of figures, whatever the configuration says."""


class FigureLogger:
    """Logs the figures at the interval that the configuration names, or never."""

    def __init__(self, outputs: Outputs, sweeper: Sweeper) -> None:
        self._outputs = outputs
        self._sweeper = sweeper
        self._interval: float | None = None
        self._entity = ""
        self._recordings: list[RecordingKey] = []
        self._rows = 0
        """Rows delivered since the last figures."""
        self._last = time.monotonic()

    def apply(self, config: SessionConfig) -> None:
        """Take interval and recordings from the configuration."""
        self._interval = None if config.figures is None else max(config.figures, MIN_INTERVAL)
        self._recordings = [spec.key for spec in config.recordings][:MAX_RECORDINGS]
        self._entity = own_entity(config.node and config.node.host, FIGURES_ENTITY)

    def count(self, built: BuiltChunks) -> None:
        """Count the rows that a sweep delivers."""
        self._rows += built.good_rows.total()

    def log_if_due(self) -> None:
        """Log the figures if the interval has passed."""
        if self._interval is None:
            return
        now = time.monotonic()
        passed = now - self._last
        if passed < self._interval:
            return
        values = {
            "ring_fill": self._sweeper.freer.fill(),
            "rows_per_second": self._rows / passed,
            "dropped": float(self._outputs.dropped_rows()),
            "behind": float(max((sink.behind_rows for sink in self._outputs.sinks()), default=0)),
        }
        self._rows, self._last = 0, now
        self._outputs.add(
            [
                number_chunk(key, f"{self._entity}/{name}", value)
                for key in self._recordings
                for name, value in values.items()
            ]
        )
