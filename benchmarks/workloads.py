"""The work of a round: kind and number of rows, workers and entities, the same for all carriers.

Each carrier gets as many rows as it carries in one to two seconds; rerun_mp gets at least a million small rows, because
with fewer the start shows. The assumed rates are rough; they only decide how long a run takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

__all__ = [
    "CARRIERS",
    "KINDS",
    "LOGGERS",
    "PAYLOAD_BYTES",
    "TRANSPORTS",
    "Job",
    "archetypes",
    "entity_paths",
    "rows_of",
]

KINDS = ("scalars", "text", "points", "image")
LOGGERS = ("rerun_mp", "rerun")
TRANSPORTS = ("queue", "pipe", "faster-fifo", "zeromq")
CARRIERS = {
    "rerun_mp": "rerun_mp",
    "rerun": "rerun-sdk",
    "queue": "multiprocessing.Queue",
    "pipe": "multiprocessing.Pipe",
    "faster-fifo": "faster-fifo",
    "zeromq": "ZeroMQ ipc://",
}
"""Name of a carrier -> its name in the tables."""

LINE = "a line of text such as programs log"
POINTS = 1000
IMAGE_SHAPE = (480, 640, 3)
IMAGE_BYTES = 480 * 640 * 3
ROW_BYTES = 40
"""Bytes of a row beside its data: row id 16, `log_time` 8, `step` 8, entity 8."""
PAYLOAD_BYTES = {
    "scalars": ROW_BYTES + 8,
    "text": ROW_BYTES + len(LINE),
    "points": ROW_BYTES + POINTS * 12,
    "image": ROW_BYTES + IMAGE_BYTES,
}

ROWS = {
    "rerun_mp": {"scalars": 2_400_000, "text": 1_200_000, "points": 120_000, "image": 1_600},
    "rerun": {"scalars": 140_000, "text": 90_000, "points": 50_000, "image": 500},
    "queue": {"scalars": 300_000, "text": 300_000, "points": 80_000, "image": 900},
    "pipe": {"scalars": 400_000, "text": 400_000, "points": 80_000, "image": 1_000},
    "faster-fifo": {"scalars": 450_000, "text": 450_000, "points": 120_000, "image": 2_500},
    "zeromq": {"scalars": 2_000_000, "text": 2_000_000, "points": 150_000, "image": 3_000},
}
"""Rows of all workers together, by carrier and kind."""
TIMED_ROWS = {
    "rerun_mp": {"scalars": 600_000, "text": 400_000, "points": 20_000, "image": 400},
    "rerun": {"scalars": 40_000, "text": 30_000, "points": 20_000, "image": 400},
}
"""Rows of all workers when each call is timed: some tenths of a second of work, to meet the collector's ticks."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work of a round."""

    carrier: str
    """One of `CARRIERS`."""
    kind: str = "scalars"
    workers: int = 2
    entities: int = 1
    rows: int = 1
    """Rows of each worker."""
    warm_rows: int = 1
    """Rows of each worker before the measurement begins."""
    is_timed: bool = False
    """Whether each call is timed."""
    pace_secs: float = 0.0
    """Seconds of sleep before each timed call."""
    is_in_bursts: bool = False
    """Whether a worker waits after each round of the entities until its rows are stored."""
    task: Literal["log", "latency", "idle"] = "log"
    sink: Literal["file", "server"] = "file"
    secs: float = 0.0
    """Seconds that the task `idle` measures."""

    @property
    def total_rows(self) -> int:
        """Measured rows of all workers."""
        return self.workers * self.rows

    def to_json(self) -> str:
        """Return the job for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """Read the text of `to_json`."""
        return cls(**json.loads(text))


def rows_of(carrier: str, kind: str, workers: int, *, is_timed: bool = False, share: float = 1.0) -> int:
    """Return the number of rows of each worker."""
    total = (TIMED_ROWS if is_timed else ROWS)[carrier][kind]
    return max(2, round(total * share / workers))


def entity_paths(entities: int) -> list[str]:
    """Return the entity paths that every worker logs to, round and round."""
    return [f"work/{number}" for number in range(entities)]


def archetypes(rr: Any, kind: str) -> Callable[[int], Any]:
    """Return a function that makes the archetype of the n-th row with the package's own class."""
    if kind == "scalars":
        return cast("Callable[[int], Any]", lambda n: rr.Scalars(n * 0.5))
    if kind == "text":
        return lambda _: rr.TextLog(LINE)
    import numpy as np

    random = np.random.default_rng(0)
    if kind == "points":
        points = random.random((POINTS, 3), np.float32)
        return lambda _: rr.Points3D(points)
    image = random.integers(0, 255, IMAGE_SHAPE, np.uint8)
    return lambda _: rr.Image(image)
