"""The cost of an idle session: the collector's CPU while no process logs, with a file and with a live sink.

A live sink costs CPU by itself, because rerun's client keeps its connection alive. So the collector with a live sink is
compared with a sleeping process of plain rerun-sdk that holds the same sink. CPU counts all threads, in nanoseconds.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.machine import ForeignCpu, cpu_secs
from benchmarks.plan import Plan
from benchmarks.producers import APPLICATION
from benchmarks.receivers import RerunProgram, count_rows, start_server
from benchmarks.report import Section, Target
from benchmarks.rounds import Runner, medians
from benchmarks.workloads import Job

__all__ = ["program", "run"]

MAX_PERCENT = 0.2
SETTLE_SECS = 6.0
"""Seconds from the last row until the session is idle: after 5, the collector sleeps longer."""
HEADER = ("idle for", "who", "CPU, % of a core", "others, cores")
JOBS = {
    "collector, with a file": ("rerun_mp", "file"),
    "collector, with a live sink": ("rerun_mp", "server"),
    "sleeping process of rerun-sdk with the same sink": ("rerun", "server"),
}
NOTES = "One forked process has logged a row and sleeps. The collector is guard and worker together."


def run(runner: Runner, plan: Plan) -> Section:
    """Measure the idle processes one after the other."""
    section = Section("Idle", HEADER, notes=NOTES)
    percents = {}
    for who, (carrier, sink) in JOBS.items():
        job = Job(carrier, workers=1, rows=0, task="idle", sink=sink, secs=plan.idle_secs)  # type: ignore[arg-type]
        summary = medians([runner.run(job)])
        percents[who] = 100 * summary["cpu_share"]
        section.rows.append((f"{plan.idle_secs:g} s", who, f"{percents[who]:.3f}", summary.others))
    section.figures = percents
    file, live, sleeping = percents.values()
    section.targets += [
        Target("idle collector with a file", file, at_most=MAX_PERCENT, unit="% of a core"),
        Target("idle collector with a live sink, above a sleeper", live - sleeping, at_most=MAX_PERCENT, unit="%"),
    ]
    return section


# ---- the program ---------------------------------------------------------------------------------------------------


def program(job: Job, directory: Path) -> dict[str, Any]:
    """Log a row in a worker, and measure the CPU of the idle processes."""
    path = directory / "out.rrd"
    server = start_server(path) if job.sink == "server" else None
    try:
        figures = _idle_rerun(job, server) if job.carrier == "rerun" else _idle_ours(job, server, path)
    finally:
        if server is not None:
            server.end()
    return {**figures, "expected": 1, "rows": count_rows(path).rows}


def _idle_ours(job: Job, server: RerunProgram | None, path: Path) -> dict[str, float]:
    import rerun_mp as rr
    from benchmarks.programs import session_watch

    rr.init(APPLICATION)
    if server is None:
        rr.save(path)
    else:
        rr.connect_grpc(server.url)
    context = multiprocessing.get_context("fork")
    gate, theirs = context.Pipe()
    worker = context.Process(target=_sleep, args=(theirs,))
    worker.start()
    assert gate.recv() == "ready"
    watch = session_watch()
    figures = _look([watch.collector(role).pid for role in ("guard", "worker")], job.secs)
    gate.send(None)
    worker.join()
    rr.disconnect()
    return figures


def _sleep(gate: Connection) -> None:
    import rerun_mp as rr

    rr.log("work/idle", rr.Scalars(1.0))
    gate.send("ready")
    gate.recv()


def _idle_rerun(job: Job, server: RerunProgram | None) -> dict[str, float]:
    assert server is not None
    context = multiprocessing.get_context("spawn")
    gate, theirs = context.Pipe()
    worker = context.Process(target=_sleep_with_rerun, args=(server.url, theirs))
    worker.start()
    assert gate.recv() == "ready"
    assert worker.pid is not None
    figures = _look([worker.pid], job.secs)
    gate.send(None)
    worker.join()
    return figures


def _sleep_with_rerun(url: str, gate: Connection) -> None:
    import rerun as rr

    rr.init(APPLICATION)
    rr.connect_grpc(url)
    rr.log("work/idle", rr.Scalars(1.0))
    gate.send("ready")
    gate.recv()
    rr.disconnect()


def _look(pids: list[int], secs: float) -> dict[str, float]:
    time.sleep(SETTLE_SECS)
    foreign, begin, at = ForeignCpu(), sum(map(cpu_secs, pids)), time.monotonic()
    time.sleep(secs)
    used = sum(map(cpu_secs, pids)) - begin
    return {"cpu_share": used / (time.monotonic() - at), "foreign": foreign.cores()}
