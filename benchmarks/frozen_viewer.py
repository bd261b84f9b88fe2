"""The cost of a frozen viewer: the duration of `log()` with and without a viewer that is stopped during the run.

Workers log scalars and images at a steady pace, to a real receiver and to a file. Runs that stop the receiver (SIGSTOP)
for FREEZE seconds take turns with plain runs. After each run the benchmark counts the rows in the file and, once the
receiver has caught up, in the receiver.

Usage: `python -m benchmarks.frozen_viewer [--receiver viewer|server] [--rounds N] [--freeze SECONDS]`. The viewer needs
a Vulkan adapter; an adapter in software draws on the cores of the program. The server (`rerun --serve-grpc`) draws
nothing.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tests.harness.programs import ROOT, wait_until
from tests.harness.recordings import rows_of, verify
from tests.harness.servers import Server, follower
from tests.harness.viewers import HeadlessViewer, free_port, start_headless_viewer

WORKERS = 2
PACE_SECS = 0.001
IMAGE_EVERY = 200
MARGIN_SECS = 2.0
"""Seconds of logging before and after the freeze."""
CATCH_UP_SECS = 120.0
QUANTILES = (50.0, 99.0, 99.9)
KINDS = ("scalar", "image")
TARGET = 1.5


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program."""

    micros: dict[str, list[float]]
    """Kind of row -> the quantiles of the duration of `log()`, in microseconds."""
    longest_millis: float
    rows: int
    caught_up_secs: float
    """Seconds from the end of the program until the receiver had every row."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--receiver", choices=["viewer", "server"], default="viewer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--freeze", type=float, default=20.0, metavar="SECONDS")
    options = parser.parse_args()
    runs: dict[bool, list[Run]] = {False: [], True: []}
    for turn in range(2 * options.rounds):
        # The order changes from round to round.
        is_frozen = turn % 4 in (1, 2)
        run = measure(options.receiver, options.freeze, is_frozen=is_frozen)
        runs[is_frozen].append(run)
        print(
            f"{'frozen' if is_frozen else 'plain ':6} {run.rows} rows in the file and in the {options.receiver}, "
            f"{run.caught_up_secs:.1f} s after the end; longest call {run.longest_millis:.1f} ms",
            flush=True,
        )
    print(f"\n{'median of log(), us':22}{'plain':>9}{'frozen':>9}{'ratio':>7}")
    for kind in KINDS:
        for number, quantile in enumerate(QUANTILES):
            plain, frozen = (median(run.micros[kind][number] for run in runs[is_frozen]) for is_frozen in (False, True))
            target = f"  at most {TARGET}" if quantile == QUANTILES[-1] else ""
            print(f"{kind:8} p{quantile:<13g}{plain:9.1f}{frozen:9.1f}{frozen / plain:7.2f}{target}")


def measure(receiver: str, freeze_secs: float, *, is_frozen: bool) -> Run:
    """Run the program once."""
    with tempfile.TemporaryDirectory(prefix="rmp-bench-", dir="/tmp") as name:
        directory = Path(name)
        started: HeadlessViewer | Server
        if receiver == "viewer":
            started = start_headless_viewer(directory)
        else:
            started = Server(directory / "served.rrd", free_port())
            started.wait_until_listening()
        try:
            return _measure(started, directory, freeze_secs, is_frozen=is_frozen)
        finally:
            started.end()


def _measure(receiver: HeadlessViewer | Server, directory: Path, freeze_secs: float, *, is_frozen: bool) -> Run:
    path = directory / "run.rrd"
    program = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.frozen_viewer", str(2 * MARGIN_SECS + freeze_secs), receiver.url, str(path)],
        cwd=ROOT,
        env={**os.environ, "RERUN_MP_BENCHMARK_PROGRAM": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "logging\n"
    time.sleep(MARGIN_SECS)
    if is_frozen:
        receiver.freeze()
    time.sleep(freeze_secs)
    receiver.thaw()
    measured = json.loads(program.stdout.read())
    assert program.wait() == 0
    ended = time.monotonic()
    verify(path)
    logged = Counter(measured["rows"])
    assert Counter(row.entity_path for row in rows_of(path)) == logged, "rows are missing in the file"
    if isinstance(receiver, Server):
        wait_until(lambda: receiver.rows() == logged, timeout_secs=CATCH_UP_SECS, what="every row in the server")
    else:
        with follower(receiver.url, directory / "followed.rrd") as rows:
            wait_until(lambda: rows() == logged, timeout_secs=CATCH_UP_SECS, what="every row in the viewer")
    return Run(measured["micros"], measured["longest_millis"], logged.total(), time.monotonic() - ended)


# ---- the program ---------------------------------------------------------------------------------------------------


def program(secs: float, url: str, path: str) -> None:
    """Log for `secs` seconds, and print the durations of the calls."""
    import rerun_mp as rr

    context = multiprocessing.get_context("fork")
    rr.init("rerun_mp_frozen_viewer")
    rr.set_sinks(rr.GrpcSink(url), rr.FileSink(path))
    results = context.SimpleQueue()
    workers = [context.Process(target=work, args=(number, secs, results)) for number in range(WORKERS)]
    for worker in workers:
        worker.start()
    print("logging", flush=True)
    taken: list[dict[str, Any]] = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    nanos = {kind: np.concatenate([result[kind] for result in taken]) for kind in KINDS}
    rows = {f"worker_{r['number']}/{kind}": len(r[kind]) for r in taken for kind in KINDS}
    micros = {kind: [float(value) / 1e3 for value in np.percentile(nanos[kind], QUANTILES)] for kind in KINDS}
    longest = max(int(values.max()) for values in nanos.values()) / 1e6
    print(json.dumps({"micros": micros, "longest_millis": longest, "rows": rows}))


def work(number: int, secs: float, results: Any) -> None:
    """Log at a steady pace, and put the duration of each call in nanoseconds into `results`."""
    import rerun_mp as rr

    picture = np.random.default_rng(number).integers(0, 256, (480, 640, 3), np.uint8)
    nanos: dict[str, list[int]] = {kind: [] for kind in KINDS}
    step = 0
    end = time.monotonic() + secs
    while time.monotonic() < end:
        rr.set_time("step", sequence=step)
        kind = "image" if step % IMAGE_EVERY == 0 else "scalar"
        row: Any = rr.Image(picture) if kind == "image" else rr.Scalars(float(step))
        entity_path = f"worker_{number}/{kind}"
        begin = time.perf_counter_ns()
        rr.log(entity_path, row)
        nanos[kind].append(time.perf_counter_ns() - begin)
        step += 1
        time.sleep(PACE_SECS)
    results.put({"number": number, **{kind: np.array(values) for kind, values in nanos.items()}})


if __name__ == "__main__":
    if os.environ.get("RERUN_MP_BENCHMARK_PROGRAM"):
        program(float(sys.argv[1]), sys.argv[2], sys.argv[3])
    else:
        main()
