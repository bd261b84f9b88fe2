"""The session's own figures as time series in its recordings, if its settings ask for them (`Settings.figures`).

On `/__rerun_mp/figures/...`, on the timeline `log_time`: how full the ring is, rows a second, rows dropped so far, and
how many rows the live sink that is furthest behind has still to get. `rerun_mp.figures.blueprint` has a viewer show
them. Used by the worker's main thread.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rerun_mp.collector.drain.own_chunks import number_chunk

if TYPE_CHECKING:
    from rerun_mp.collector.drain.frame_chunks import BuiltChunks
    from rerun_mp.collector.drain.sweep import Sweeper
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import SessionConfig

__all__ = ["FIGURES_ENTITY", "Figures"]

FIGURES_ENTITY = "/__rerun_mp/figures"
MAX_RECORDINGS = 16
MIN_SECS = 0.05


class Figures:
    """Writes figures at the pace that the configuration says; never, if it says none."""

    def __init__(self, outputs: Outputs, sweeper: Sweeper) -> None:
        self._outputs = outputs
        self._sweeper = sweeper
        self._every: float | None = None
        self._recordings: list[RecordingKey] = []
        self._rows = 0
        self._last = time.monotonic()

    def apply(self, config: SessionConfig) -> None:
        """Take note of the configuration."""
        self._every = None if config.figures is None else max(config.figures, MIN_SECS)
        self._recordings = [spec.key for spec in config.recordings][:MAX_RECORDINGS]

    def note(self, built: BuiltChunks) -> None:
        """Take note of what a sweep has delivered."""
        self._rows += built.good_rows.total()

    def look(self) -> None:
        """Write the figures, if it is time."""
        if self._every is None:
            return
        now = time.monotonic()
        passed = now - self._last
        if passed < self._every:
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
                number_chunk(key, f"{FIGURES_ENTITY}/{name}", value)
                for key in self._recordings
                for name, value in values.items()
            ]
        )
