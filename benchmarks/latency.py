"""The time from `log()` in a worker until the row is readable behind a gRPC sink, without other load.

rerun-sdk has no Python client that follows a server. So the reader is the native one: `rerun URL --save FILE` follows
the server as a viewer does and writes a file, and so does the server itself. A row is readable when its whole message
is in the file; `MessageReader` checks the framing about every tenth of a millisecond. The worker pauses for 60 to
140 ms between two rows, at random, so that rows meet the collector's tick at every phase. The worker takes the time
right before `log()`; it shares CLOCK_MONOTONIC with the process that reads.

rerun's worker is spawned and connects by itself, ours is forked. Both log `Scalars` with `set_time`.

Of rerun_mp's 2.4 ms on two virtual processors, 0.2 pass until the collector has woken, 0.3 until it has copied the row,
0.35 until the row is a chunk, 0.25 until rerun-sdk has accepted that chunk, and 0.25 until it is sent. The server has
it in its file 1 ms later; a client that sends a chunk made before waits 0.9 ms. The file of the collector is written
meanwhile. All this code is cold: the same steps take a tenth of the time in a loop. So the time follows the number of
different functions that a row passes, above all of numpy and pyarrow (20 to 80 us each), and hardly what they do.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import struct
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.machine import ForeignCpu
from benchmarks.plan import Plan
from benchmarks.producers import APPLICATION
from benchmarks.receivers import count_rows, start_follower, start_server
from benchmarks.report import Section, Target, ratio_text
from benchmarks.rounds import Round, Runner, medians
from benchmarks.workloads import LOGGERS, Job
from tests.harness.programs import wait_until

__all__ = ["MessageReader", "program", "run"]

LOOK_SECS = 0.00005
PAUSE_SECS = (0.06, 0.14)
PATIENCE_SECS = 10.0
WARM_ROWS = 3
HEADER_BYTES = 12
MESSAGE = struct.Struct("<QQ")
CHUNK = 2
P50, P99 = 0, 1
QUANTILES = (0.5, 0.99)
HEADER = ("readable in", "rerun_mp p50", "p99", "rerun-sdk p50", "p99", "p50", "p99", "others, cores")
NOTES = (
    "Milliseconds from `log()` in an idle worker until the row is in the file of the gRPC server that is the sink, and "
    "in the file of a process that follows the server as a viewer does; {rows} rows in {turns} turns."
)
PLACES = {"server": "the sink's file", "follower": "a follower's file"}


def run(runner: Runner, plan: Plan) -> Section:
    """Measure rerun_mp and rerun-sdk in turns."""
    section = Section("Latency", HEADER, notes=NOTES.format(rows=plan.latency_rows * plan.turns, turns=plan.turns))
    jobs = [Job(carrier, task="latency", workers=1, rows=plan.latency_rows, warm_rows=WARM_ROWS) for carrier in LOGGERS]
    taken = runner.turns(jobs, plan.turns)
    ours, theirs = (medians(taken[job]) for job in jobs)
    for place, text in PLACES.items():
        mine, yours = (_quantiles(taken[job], place) for job in jobs)
        section.figures[place] = {"rerun_mp": mine, "rerun": yours}
        section.rows.append(
            (
                text,
                *(f"{value:.2f}" for value in (*mine, *yours)),
                ratio_text(yours[P50] / mine[P50]),
                ratio_text(yours[P99] / mine[P99]),
                f"{ours.others} / {theirs.others}",
            )
        )
        section.targets += [
            Target(f"`log()` to {text}: p50", mine[P50], at_most=3.0, unit="ms"),
            Target(f"`log()` to {text}: p99", mine[P99], at_most=6.0, unit="ms"),
        ]
    return section


def _quantiles(rounds: list[Round], place: str) -> list[float]:
    """Return p50 and p99 of the rows of all turns together; one turn has too few rows for a p99."""
    millis = sorted(value for result in rounds for value in result.figures[place])
    return [millis[min(int(len(millis) * q), len(millis) - 1)] for q in QUANTILES]


# ---- the program ---------------------------------------------------------------------------------------------------


class MessageReader:
    """Counts the complete chunks of a growing .rrd file. Each call goes on where the last one stopped.

    The file has a header of 12 bytes and then messages: kind (u64), length (u64) and the payload, little-endian; see
    `rerun_mp/encoding/rrd_files.py`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._at = HEADER_BYTES
        self._chunks = 0

    def chunks(self) -> int:
        """Return the number of complete chunks in the file."""
        if self._descriptor < 0:
            if not self._path.exists():
                return 0
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(self._descriptor).st_size
        while self._at + MESSAGE.size <= size:
            kind, length = MESSAGE.unpack(os.pread(self._descriptor, MESSAGE.size, self._at))
            if self._at + MESSAGE.size + length > size:
                break
            self._at += MESSAGE.size + length
            self._chunks += kind == CHUNK
        return self._chunks


def program(job: Job, directory: Path) -> dict[str, Any]:
    """Log one row after the other, and measure when each is readable."""
    server = start_server(directory / "server.rrd", is_followed=True)
    follower = None
    try:
        follower = start_follower(server, directory / "follower.rrd")
        context: Any = multiprocessing.get_context("fork")
        if job.carrier == "rerun":
            context = multiprocessing.get_context("spawn")
        else:
            import rerun_mp as rr

            rr.init(APPLICATION)
            rr.connect_grpc(server.url)
        ours, theirs = context.Pipe()
        worker = context.Process(target=_work, args=(job, server.url, theirs))
        worker.start()
        theirs.close()
        assert ours.recv() == "ready"
        readers = {"server": MessageReader(server.saved), "follower": MessageReader(follower.saved)}
        _wait_for_rest(readers)
        foreign = ForeignCpu()
        millis: dict[str, list[float]] = {place: [] for place in readers}
        pauses = random.Random(0)
        for _ in range(job.rows):
            time.sleep(pauses.uniform(*PAUSE_SECS))
            for place, value in _watch_one(ours, readers).items():
                millis[place].append(value)
        cores = foreign.cores()
        ours.send(None)
        worker.join()
    finally:
        if follower is not None:
            follower.end()
        server.end()
    counted = count_rows(server.saved)
    return {"foreign": cores, "expected": job.rows + job.warm_rows, "rows": counted.rows, **millis}


def _watch_one(gate: Connection, readers: Mapping[str, MessageReader]) -> dict[str, float]:
    """Let the worker log a row, and return the milliseconds until each reader saw it."""
    before = {place: reader.chunks() for place, reader in readers.items()}
    seen: dict[str, int] = {}
    gate.send("log")
    deadline = time.monotonic() + PATIENCE_SECS
    while len(seen) < len(readers):
        for place, reader in readers.items():
            if place not in seen and reader.chunks() > before[place]:
                seen[place] = time.monotonic_ns()
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {PATIENCE_SECS} s a row is only in {sorted(seen)}")
        time.sleep(LOOK_SECS)
    logged = gate.recv()
    return {place: (at - logged) / 1e6 for place, at in seen.items()}


def _wait_for_rest(readers: Mapping[str, MessageReader]) -> None:
    """Wait until the warm-up rows are in both files, and nothing has been added for half a second."""
    wait_until(lambda: all(reader.chunks() for reader in readers.values()), timeout_secs=30.0, what="the first rows")
    last: dict[str, int] = {}
    since = time.monotonic()
    while time.monotonic() - since < 0.5:
        now = {place: reader.chunks() for place, reader in readers.items()}
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.01)


def _work(job: Job, url: str, gate: Connection) -> None:
    if job.carrier == "rerun":
        import rerun as rr

        rr.init(APPLICATION)
        rr.connect_grpc(url)
    else:
        import rerun_mp as rr  # type: ignore[no-redef]
    for step in range(job.warm_rows):
        rr.set_time("step", sequence=step)
        rr.log("work/latency", rr.Scalars(0.5 * step))
    gate.send("ready")
    step = job.warm_rows
    while gate.recv() is not None:
        rr.set_time("step", sequence=step)
        row = rr.Scalars(0.5 * step)
        at = time.monotonic_ns()
        rr.log("work/latency", row)
        gate.send(at)
        step += 1
    if job.carrier == "rerun":
        rr.disconnect()
