"""The scope of a run, as the command line chooses it: the same for all sections."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.workloads import KINDS, LOGGERS, TRANSPORTS, Job, rows_of

__all__ = ["ENTITIES", "WORKERS", "Plan"]

WORKERS = (1, 2, 8, 64)
ENTITIES = (1, 50, 2000)


@dataclass(frozen=True, slots=True)
class Plan:
    """Kinds of rows, carriers and sizes of a run."""

    kinds: tuple[str, ...] = KINDS
    carriers: tuple[str, ...] = (*LOGGERS, *TRANSPORTS)
    workers: tuple[int, ...] = WORKERS
    """Numbers of workers in the section on scaling; the other sections have two."""
    entities: tuple[int, ...] = ENTITIES
    scaled_beside_rerun: bool = True
    """Whether the section on scaling also measures rerun-sdk."""
    turns: int = 3
    share: float = 1.0
    """Share of the rows of a full run."""
    latency_rows: int = 100
    """Rows of each turn."""
    idle_secs: float = 30.0

    @classmethod
    def quick(cls) -> Plan:
        """Return a small plan that shows that everything works. Its figures mean nothing."""
        return cls(scaled_beside_rerun=False, turns=1, share=0.1, latency_rows=20, idle_secs=4.0)

    def logging(self, carrier: str, kind: str, *, workers: int = 2, entities: int = 1) -> Job:
        """Return the job of logging without timing the calls."""
        return Job(carrier, kind, workers, entities, rows_of(carrier, kind, workers, share=self.share))

    def timed(self, carrier: str, kind: str, *, pace_secs: float = 0.0) -> Job:
        """Return the job of logging with a timer around each call."""
        rows = rows_of(carrier, kind, 2, is_timed=True, share=self.share)
        return Job(carrier, kind, rows=rows, is_timed=True, pace_secs=pace_secs)
