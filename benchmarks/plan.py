"""What a run measures and how much of it: the command line's choice, the same for all sections."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.workloads import KINDS, LOGGERS, TRANSPORTS, Job, rows_of

__all__ = ["ENTITIES", "WORKERS", "Plan"]

WORKERS = (1, 2, 8, 64)
ENTITIES = (1, 50, 2000)


@dataclass(frozen=True, slots=True)
class Plan:
    """The choice."""

    kinds: tuple[str, ...] = KINDS
    carriers: tuple[str, ...] = (*LOGGERS, *TRANSPORTS)
    workers: tuple[int, ...] = WORKERS
    """For the section on scaling; the others have two."""
    entities: tuple[int, ...] = ENTITIES
    scaled_beside_rerun: str | None = "scalars"
    """The kind for which rerun scales, too."""
    turns: int = 3
    share: float = 1.0
    """Of the rows of a full run."""
    latency_rows: int = 100
    """Of each turn."""
    idle_secs: float = 30.0

    @classmethod
    def quick(cls) -> Plan:
        """Return what shows that everything runs. Its figures are of no use."""
        return cls(scaled_beside_rerun=None, turns=1, share=0.1, latency_rows=20, idle_secs=4.0)

    def logging(self, carrier: str, kind: str, *, workers: int = 2, entities: int = 1) -> Job:
        """Return the job of logging without timers around the calls."""
        return Job(carrier, kind, workers, entities, rows_of(carrier, kind, workers, share=self.share))

    def timed(self, carrier: str, kind: str, *, pace_secs: float = 0.0) -> Job:
        """Return the job of logging with them."""
        rows = rows_of(carrier, kind, 2, is_timed=True, share=self.share)
        return Job(carrier, kind, rows=rows, is_timed=True, pace_secs=pace_secs)
