"""Rows a second and CPU for each row: rerun_mp, rerun-sdk and transports of bytes take turns.

These runs time no single call. Loggers bring rows into a file; their time runs from the first call until the file is
complete. Transports bring opaque bytes, as many as a row's payload, to another process, and write no file.
"""

from __future__ import annotations

from benchmarks.plan import Plan
from benchmarks.report import Section, Target, rate_text, ratio_text
from benchmarks.rounds import Runner, Summary, medians
from benchmarks.workloads import CARRIERS, LOGGERS, PAYLOAD_BYTES, TRANSPORTS

__all__ = ["run"]

TARGETS = {"scalars": (22.0, 25.0), "text": (16.0, None), "points": (3.0, None), "image": (3.0, 4.0)}
"""Minimum ratio of our rows a second to rerun's, and the ratio that we aim for."""
SMALL = ("scalars", "text")
TO_BEAT = ("queue", "pipe", "faster-fifo")
HEADER = (
    "work",
    "carried by",
    "rows/s",
    "MB/s",
    "rerun_mp is",
    "CPU/row, workers",
    "CPU/row, collector",
    "rows",
    "others, cores",
)
NOTES = (
    "2 workers. Loggers: rows in a complete file, timed from the first call. Queue, Pipe, faster-fifo and ZeroMQ only "
    "carry opaque bytes, as many as a row's payload, to another process: they encode nothing and write no file. "
    "MB/s count the payload. CPU in microseconds; the collector is guard and worker, rerun's server, or the "
    "transport's consumer."
)


def run(runner: Runner, plan: Plan, carriers: tuple[str, ...]) -> Section:
    """Measure rerun_mp and each of `carriers`."""
    section = Section("Delivered", HEADER, notes=NOTES)
    for kind in plan.kinds:
        jobs = [plan.logging(carrier, kind) for carrier in carriers]
        taken = runner.turns(jobs, plan.turns)
        summaries = {job.carrier: medians(taken[job]) for job in jobs}
        section.figures[kind] = {carrier: summary["rows_per_sec"] for carrier, summary in summaries.items()}
        for carrier, summary in summaries.items():
            ratio = summaries["rerun_mp"]["rows_per_sec"] / summary["rows_per_sec"]
            section.rows.append(_line(summary, ratio if carrier != "rerun_mp" else None))
            section.targets.extend(_targets(kind, carrier, ratio))
    return section


def carriers_of(plan: Plan, *, loggers: bool, transports: bool) -> tuple[str, ...]:
    """Return the carriers that take turns; rerun_mp is always among them."""
    wanted = (LOGGERS if loggers else ()) + (TRANSPORTS if transports else ())
    return ("rerun_mp", *(carrier for carrier in wanted if carrier in plan.carriers and carrier != "rerun_mp"))


def _line(summary: Summary, ratio: float | None) -> tuple[str, ...]:
    job = summary.job
    rate = summary["rows_per_sec"]
    return (
        job.kind,
        CARRIERS[job.carrier],
        rate_text(rate),
        f"{rate * PAYLOAD_BYTES[job.kind] / 1e6:,.0f}",
        "" if ratio is None else ratio_text(ratio),
        f"{summary['worker_cpu_secs'] / job.total_rows * 1e6:.2f}",
        f"{summary['collector_cpu_secs'] / job.total_rows * 1e6:.2f}",
        f"{job.total_rows:,}",
        summary.others,
    )


def _targets(kind: str, carrier: str, ratio: float) -> list[Target]:
    if carrier == "rerun":
        at_least, aim = TARGETS[kind]
        return [Target(f"{kind}: delivered, ours over rerun's", ratio, at_least, aim=aim)]
    if carrier in TO_BEAT and kind in SMALL:
        return [Target(f"{kind}: delivered, ours over what {CARRIERS[carrier]} carries", ratio, 1.0)]
    return []
