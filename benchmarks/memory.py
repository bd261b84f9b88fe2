"""Peaks of memory: the ring's pages, the collector's private memory, and a worker's growth over a million rows.

The benchmark samples the collector every 20 ms, from the first row until the file is complete. The footer comes last
and has an entry for every chunk, so many chunks cost the most memory. Each sweep makes one chunk for each entity. Rows
without a pause share few sweeps (6 M rows: 70,000 chunks), so one run waits after each round of the entities until its
rows are stored, which makes far more chunks.

Rerun's file writer keeps 270 bytes for each chunk, and takes 600 more when it writes the footer: a process that does
nothing but hand 520,000 chunks to it peaks at 287 MB. So the collector closes the writer after 65,536 chunks, and
another one goes on in the same file (`collector/store/sections.py`). At the end one footer is made of all. That takes
142 bytes for each chunk, those of the uncompressed table, and then a third of that for the compressed one: the same
process peaks at 131 MB for 520,000 chunks and 190 MB for 1,000,000. The change of writers takes 0.1 s, and the last
footer as long as rerun's, 0.4 s for 520,000 chunks. With `write_footer=False`, rerun's own option, nothing grows.
"""

from __future__ import annotations

from dataclasses import replace

from benchmarks.plan import Plan
from benchmarks.report import Section, Target, bytes_text
from benchmarks.rounds import Runner, Summary, medians
from rerun_mp.settings import Settings
from rerun_mp.shm.layout import Geometry

__all__ = ["allowed_bytes", "run"]

WARM_ROWS = 20_000
"""Rows of each worker before the measurement, after which the worker has made its one-time allocations."""
MANY_ENTITIES = 2000
BURSTS = 130
"""Rounds of the entities in each worker. Two workers may share a sweep, so these make 260,000 to 520,000 chunks."""
FREE_CHUNKS = 500_000
MAX_BYTES = 250e6
MAX_BYTES_A_CHUNK = 200
MAX_GROWTH = 5e6
MILLION = 1_000_000
HEADER = (
    "work",
    "entities",
    "rows",
    "chunks",
    "ring",
    "collector, RssAnon",
    "a worker grew by",
    "file",
    "others, cores",
)
NOTES = "2 workers; peaks. A worker's growth counts RssAnon, from its 20,000th row on (small rows)."


def allowed_bytes(chunks: float) -> float:
    """Return the maximum private memory of the collector, for a file of so many chunks."""
    return MAX_BYTES + MAX_BYTES_A_CHUNK * max(0.0, chunks - FREE_CHUNKS)


def run(runner: Runner, plan: Plan) -> Section:
    """Measure in one turn, because a peak needs no median."""
    section = Section("Memory", HEADER, notes=NOTES)
    jobs = []
    for kind in plan.kinds:
        is_small = kind in {"scalars", "text"}
        job = plan.logging("rerun_mp", kind)
        rows = max(job.rows, round(MILLION * min(1.0, plan.share))) if is_small else job.rows
        jobs.append(replace(job, rows=rows, warm_rows=WARM_ROWS if is_small else 1))
    many = plan.logging("rerun_mp", "scalars", entities=MANY_ENTITIES)
    bursts = max(1, round(BURSTS * plan.share))
    jobs += [many, replace(many, rows=bursts * MANY_ENTITIES, is_in_bursts=True)]
    for job in jobs:
        _add(section, medians([runner.run(job)]))
    return section


def ring_limit() -> int:
    """Return the bytes of a segment with the default settings."""
    settings = Settings()
    geometry = Geometry(
        slot_bytes=settings.slot_bytes, slots=settings.ring_bytes // settings.slot_bytes, producers=settings.producers
    )
    return geometry.total_bytes


def _add(section: Section, summary: Summary) -> None:
    job = summary.job
    section.rows.append(
        (
            f"{job.kind}, in bursts" if job.is_in_bursts else job.kind,
            f"{job.entities:,}",
            f"{job.total_rows:,}",
            f"{summary['chunks']:,.0f}",
            bytes_text(summary["ring_bytes"]),
            bytes_text(summary["collector_bytes"]),
            bytes_text(summary["grown_bytes"]),
            bytes_text(summary["file_bytes"]),
            summary.others,
        )
    )
    what = (
        f"{job.kind}, {job.entities:,} {'entity' if job.entities == 1 else 'entities'}, {summary['chunks']:,.0f} chunks"
    )
    limit, allowed = ring_limit(), allowed_bytes(summary["chunks"])
    section.targets += [
        Target(f"{what}: ring", summary["ring_bytes"] / 1e6, at_most=limit / 1e6, unit="MB"),
        Target(f"{what}: collector's RssAnon", summary["collector_bytes"] / 1e6, at_most=allowed / 1e6, unit="MB"),
    ]
    if job.rows >= MILLION:
        grown = summary["grown_bytes"] / 1e6 * MILLION / job.rows
        section.targets.append(
            Target(f"{what}: a worker's growth over a million rows", grown, at_most=MAX_GROWTH / 1e6, unit="MB")
        )
