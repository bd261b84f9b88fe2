"""The session's own figures as time series in its recordings, if its settings ask for them (`Settings.figures`).

On `/__rerun_mp/figures/...`, on the timeline `log_time`: how full the ring is, rows a second, rows dropped so far, and
how many rows the live sink that is furthest behind has still to get. `rerun_mp.figures.blueprint` has a viewer show
them. Used by the worker's main thread.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pyarrow as pa

from rerun_mp.collector.chunks import ROW_ID_FIELD, SORBET_VERSION, BuiltChunks, ChunkBatch

if TYPE_CHECKING:
    from rerun_mp.collector.outputs import Outputs
    from rerun_mp.collector.sweep import Sweeper
    from rerun_mp.config import SessionConfig
    from rerun_mp.encoding.frames import RecordingKey

__all__ = ["FIGURES_ENTITY", "Figures"]

FIGURES_ENTITY = "/__rerun_mp/figures"
MOST_RECORDINGS = 16
LEAST_SECS = 0.05
SCALARS = pa.field(
    "Scalars:scalars",
    pa.list_(pa.float64()),
    metadata={
        "rerun:kind": "data",
        "rerun:component": "Scalars:scalars",
        "rerun:archetype": "rerun.archetypes.Scalars",
        "rerun:component_type": "rerun.components.Scalar",
    },
)
LOG_TIME = pa.field("log_time", pa.timestamp("ns"), metadata={"rerun:kind": "index", "rerun:index_name": "log_time"})


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
        self._every = None if config.figures is None else max(config.figures, LEAST_SECS)
        self._recordings = [spec.key for spec in config.recordings][:MOST_RECORDINGS]

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
            "ring_fill": self._sweeper.fill(),
            "rows_per_second": self._rows / passed,
            "dropped": float(self._outputs.dropped_rows()),
            "behind": float(max((sink.behind_rows for sink in self._outputs.sinks()), default=0)),
        }
        self._rows, self._last = 0, now
        self._outputs.add([_chunk(key, name, value) for key in self._recordings for name, value in values.items()])


def _chunk(recording: RecordingKey, name: str, value: float) -> ChunkBatch:
    now = time.time_ns()
    entity_path = f"{FIGURES_ENTITY}/{name}"
    identity = os.urandom(8)
    chunk_id = f"chunk_{now:016X}{identity.hex()}"
    metadata = {"sorbet:version": SORBET_VERSION, "rerun:entity_path": entity_path, "rerun:id": chunk_id}
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([now.to_bytes(8, "big") + identity], pa.binary(16)),
            pa.array([now], LOG_TIME.type),
            pa.array([[value]], SCALARS.type),
        ],
        schema=pa.schema([ROW_ID_FIELD, LOG_TIME, SCALARS], metadata=metadata),
    )
    return ChunkBatch(recording, entity_path, chunk_id, batch, batch.nbytes)
