"""Rows a second with more workers than cores, and with many entities.

The total number of rows stays the same. All workers log to the same entities, round and round, so that the collector
groups rows of different processes. rerun-sdk takes turns with rerun_mp where the entities grow. Where the workers grow,
it has one turn, and only with scalars: starting 64 of its workers takes longer than their work.

A worker does the same for a row of one entity and of 2,000. So its CPU per row shows the speed of the cores, which
changes by half on a virtual machine (see `calls`): 1.8 us for a text on fast cores, 2.9 on slow ones. A share means
something if that column is about equal in both lines. Texts of 2,000 entities then keep seven tenths of the rate.

With 2,000 entities, a chunk of 200 texts costs the collector 100 us of CPU on fast cores: 25 us for handing the batch
to rerun-sdk, 45 in rerun-sdk's threads, which encode, compress and write it, 10 for cutting it out of the sweep's
batch, and the rest for the rows. Small chunks share buffers by the megabyte (`collector/drain/table_chunks.py`), which
saves 8 % of the collector's CPU. Buffers of its own for each chunk save no more, because these copies cost as much.
Sweeps of 48 MB instead of 32 make a fifth fewer chunks, take 50 MB more memory, and deliver no more rows a second: more
rows are left when the workers have ended.
"""

from __future__ import annotations

from benchmarks.plan import Plan
from benchmarks.report import Section, Target, rate_text, ratio_text
from benchmarks.rounds import Runner, Summary, medians
from benchmarks.workloads import CARRIERS, Job

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
SHARE = 0.7
"""Minimum share of the rate with one entity that small rows keep with 2,000 entities, and all rows with 64 workers."""
SMALL = frozenset({"scalars", "text"})
"""Kinds of rows of which a chunk holds many, also with 2,000 entities."""
NOTES = "Share: relative to the rows a second of 2 workers and one entity."


def run(runner: Runner, plan: Plan) -> Section:
    """Measure each kind of row."""
    section = Section("Workers and entities", HEADER, notes=NOTES)
    few = [(WORKERS, entities) for entities in sorted({1, *plan.entities})]
    many = [(workers, 1) for workers in sorted({*plan.workers} - {WORKERS})]
    has_rerun = plan.scaled_beside_rerun and "rerun" in plan.carriers
    for kind in plan.kinds:
        ours = [plan.logging("rerun_mp", kind, workers=workers, entities=number) for workers, number in few + many]
        theirs = [plan.logging("rerun", kind, workers=workers, entities=number) for workers, number in few]
        taken = runner.turns(ours + theirs if has_rerun else ours, plan.turns)
        if has_rerun and kind == "scalars":
            taken |= runner.turns([plan.logging("rerun", kind, workers=workers) for workers, _ in many], 1)
        _add(section, [medians(rounds) for rounds in taken.values()])
    return section


def _add(section: Section, summaries: list[Summary]) -> None:
    """Add the lines, figures and targets of one kind of row."""
    rates = {(one.job.carrier, one.job.workers, one.job.entities): one["rows_per_sec"] for one in summaries}
    for summary in summaries:
        job, rate = summary.job, summary["rows_per_sec"]
        share = rate / rates[job.carrier, WORKERS, 1]
        theirs = rates.get(("rerun", job.workers, job.entities))
        shape = f"{job.workers} workers" if job.entities == 1 else f"{job.entities:,} entities"
        figures = section.figures.setdefault(job.kind, {})
        figures.setdefault(job.carrier, {})[shape] = share
        section.rows.append(
            (
                job.kind,
                CARRIERS[job.carrier],
                str(job.workers),
                str(job.entities),
                rate_text(rate),
                ratio_text(share),
                f"{summary['worker_cpu_secs'] / job.total_rows * 1e6:.2f}",
                f"{summary['collector_cpu_secs'] / job.total_rows * 1e6:.2f}",
                f"{summary['chunks']:,.0f}",
                summary.others,
            )
        )
        if job.carrier == "rerun_mp":
            if theirs is not None:
                figures.setdefault("over_rerun", {})[shape] = rate / theirs
            section.targets += _targets(job, share, theirs and rate / theirs)


def _targets(job: Job, share: float, over_rerun: float | None) -> list[Target]:
    if job.workers == 64:
        return [Target(f"{job.kind}: 64 workers, share of what 2 deliver", share, SHARE, aim=0.8, unit="")]
    if job.entities != 2000:
        return []
    if job.kind in SMALL:
        return [Target(f"{job.kind}: 2,000 entities, share of what one delivers", share, SHARE, unit="")]
    if over_rerun is None:
        return []
    return [Target(f"{job.kind}: 2,000 entities, delivered, ours over rerun's", over_rerun, 1.0)]
