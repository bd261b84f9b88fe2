"""Rows a second with more workers than cores, and with many entities.

The total number of rows stays the same. All workers log to the same entities, round and round, so that the collector
groups rows of different processes. rerun-sdk has one turn, because starting 64 of its workers takes longer than their
work, and only with scalars, in a full run.
"""

from __future__ import annotations

from benchmarks.plan import Plan
from benchmarks.report import Section, Target, rate_text, ratio_text
from benchmarks.rounds import Runner, Summary, medians
from benchmarks.workloads import CARRIERS, LOGGERS

__all__ = ["run"]

WORKERS = 2
"""Number of workers of the base that the shares refer to."""
HEADER = (
    "work",
    "logged by",
    "workers",
    "entities",
    "rows/s",
    "share",
    "CPU/row, workers",
    "CPU/row, collector",
    "chunks",
    "others, cores",
)
NOTES = "Share: relative to the rows a second of 2 workers and one entity. rerun-sdk in one turn, with scalars."


def run(runner: Runner, plan: Plan) -> Section:
    """Measure each kind of row."""
    section = Section("Workers and entities", HEADER, notes=NOTES)
    shapes = [(workers, 1) for workers in sorted({*plan.workers, WORKERS})]
    shapes += [(WORKERS, entities) for entities in plan.entities if entities != 1]
    for kind in plan.kinds:
        for carrier in LOGGERS:
            if carrier == "rerun_mp" or (carrier in plan.carriers and kind == plan.scaled_beside_rerun):
                jobs = [plan.logging(carrier, kind, workers=workers, entities=many) for workers, many in shapes]
                taken = runner.turns(jobs, plan.turns if carrier == "rerun_mp" else 1)
                _add(section, [medians(taken[job]) for job in jobs])
    return section


def _add(section: Section, summaries: list[Summary]) -> None:
    base = next(s["rows_per_sec"] for s in summaries if s.job.workers == WORKERS and s.job.entities == 1)
    for summary in summaries:
        job, rate = summary.job, summary["rows_per_sec"]
        shape = f"{job.workers} workers" if job.entities == 1 else f"{job.entities:,} entities"
        section.figures.setdefault(job.kind, {}).setdefault(job.carrier, {})[shape] = rate / base
        section.rows.append(
            (
                job.kind,
                CARRIERS[job.carrier],
                str(job.workers),
                str(job.entities),
                rate_text(rate),
                ratio_text(rate / base),
                f"{summary['worker_cpu_secs'] / job.total_rows * 1e6:.2f}",
                f"{summary['collector_cpu_secs'] / job.total_rows * 1e6:.2f}",
                f"{summary['chunks']:,.0f}",
                summary.others,
            )
        )
        if job.carrier == "rerun_mp" and job.workers == 64:
            what = f"{job.kind}: 64 workers, share of what 2 deliver"
            section.targets.append(Target(what, rate / base, 0.7, aim=0.8, unit=""))
        if job.carrier == "rerun_mp" and job.entities == 2000:
            what = f"{job.kind}: 2,000 entities, share of what one delivers"
            section.targets.append(Target(what, rate / base, 0.7, unit=""))
