"""The hot path beside rerun-sdk: what a call costs, and how many rows a second arrive in a file.

Both packages run the same workers turn about, each run in fresh processes; the figures are medians of the turns.
rerun's workers are spawned and log to one `rerun --save` server by gRPC, because a forked child of rerun logs nothing;
ours log into the file of their parent. The call is `set_time` and `log` with the archetype made in place; latencies are
taken in runs of their own, `log` alone. Delivered is from the first call to the file being complete, start-up of the
workers left out. Each run checks its count: a row lost is an error.

A turn during which other programs took more than a tenth of a core is repeated, as long as some are left without.
Usage: `python -m benchmarks.hot_path [--turns N] [--workers N] [KIND ...]`, KIND of scalars, text, points, image.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import psutil

ROWS = {"scalars": 500_000, "text": 200_000, "points": 40_000, "image": 600}
"""Of each worker, for ours; rerun's get a tenth, which takes it as long."""
SAMPLES = 20_000
MOST_FOREIGN = 0.1
MOST_REPEATS = 3
APPLICATION = "hot_path"


def maker(rr: Any, kind: str) -> Any:
    """Return what makes the n-th archetype of a kind."""
    if kind == "scalars":
        return lambda n: rr.Scalars(n * 0.5)
    if kind == "text":
        return lambda _: rr.TextLog("a line of text such as programs log")
    import numpy as np

    if kind == "points":
        points = np.random.default_rng(0).random((1000, 3), np.float32)
        return lambda _: rr.Points3D(points)
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    return lambda _: rr.Image(image)


def work(package: str, kind: str, rows: int, url: str, timed: bool, ready: Connection) -> None:
    """Log rows in a worker, and send (first call, last return, latencies in nanoseconds)."""
    if package == "rerun":
        import rerun as rr

        rr.init(APPLICATION)
        rr.connect_grpc(url)
    else:
        import rerun_mp as rr  # type: ignore[no-redef]
    make, log, set_time, clock = maker(rr, kind), rr.log, rr.set_time, time.perf_counter_ns
    path = f"worker/{os.getpid()}"
    log(path, make(0))
    ready.send("ready")
    ready.recv()
    latencies = []
    begin = time.time()
    if timed:
        for n in range(rows):
            set_time("step", sequence=n)
            archetype = make(n)
            at = clock()
            log(path, archetype)
            latencies.append(clock() - at)
    else:
        for n in range(rows):
            set_time("step", sequence=n)
            log(path, make(n))
    end = time.time()
    if package == "rerun":
        rr.disconnect()
    ready.send((begin, end, latencies))


def run(package: str, kind: str, workers: int, rows: int, *, timed: bool) -> dict[str, Any]:
    """Run workers once, in a process of its own, and return what was measured."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "out.rrd"
        command = [sys.executable, "-m", "benchmarks.hot_path", "--one", package, kind, str(workers), str(rows)]
        before = cpu_of_processes()
        begin = time.monotonic()
        done = subprocess.run([*command, str(int(timed)), str(path)], capture_output=True, text=True, check=True)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        result["complete"] = result.get("complete") or time.time()
        # Whoever ran before this run began is somebody else.
        after = cpu_of_processes()
        spent = sum(after[pid] - before[pid] for pid in before.keys() & after.keys() if pid != os.getpid())
        result["foreign"] = spent / (time.monotonic() - begin)
        result["rate"] = workers * rows / (result["complete"] - result["begin"])
        counted = count_rows(path)
        expected = workers * (rows + 1)
        if counted != expected:
            raise SystemExit(f"{package}, {kind}: {expected} rows logged, {counted} in the file")
        return result


def cpu_of_processes() -> dict[int, float]:
    """Return the seconds of CPU that each process of the machine has used."""
    times = {process.pid: process.info["cpu_times"] for process in psutil.process_iter(["cpu_times"])}
    return {pid: used.user + used.system for pid, used in times.items() if used is not None}


def count_rows(path: Path) -> int:
    """Return how many rows of the workers a recording holds."""
    from rerun.chunk import RrdReader

    with warnings.catch_warnings():
        # The server that saves for rerun ends without a footer.
        warnings.simplefilter("ignore")
        stream = RrdReader(path).stream()
    return sum(chunk.num_rows for chunk in stream if chunk.entity_path.startswith("/worker"))


def one(package: str, kind: str, workers: int, rows: int, timed: bool, path: str) -> None:
    """Run workers and print what was measured, in this process."""
    server, url = None, ""
    if package == "rerun":
        server, url = start_server(path)
    else:
        import rerun_mp as rr

        rr.init(APPLICATION)
        rr.save(path)
    context: Any = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(package, kind, rows, url, timed, theirs))
        process.start()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        assert pipe.recv() == "ready"
    for pipe in pipes:
        pipe.send("go")
    results = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    complete = 0.0
    if server is not None:
        server.terminate()
        server.wait()
        complete = time.time()
    else:
        import rerun_mp as rr

        rr.disconnect()
        complete = time.time()
    latencies = sorted(latency for _, _, taken in results for latency in taken)
    print(
        json.dumps(
            {
                "begin": min(begin for begin, _, _ in results),
                "complete": complete,
                "latencies": [latencies[int(len(latencies) * q)] for q in (0.5, 0.99, 0.999)] if latencies else [],
            }
        )
    )


def start_server(path: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start rerun's own server, which saves what it gets, on a free port of the loopback."""
    import rerun_cli

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = Path(rerun_cli.__file__).with_name("rerun")
    command = [str(binary), "--save", path, "--bind", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert server.poll() is None, "the server has ended"
        else:
            return server, f"rerun+http://127.0.0.1:{port}/proxy"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kinds", nargs="*", default=[], metavar="KIND")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    print(f"{options.workers} workers, medians of {options.turns} turns; call in microseconds: p50 / p99 / p99.9")
    print(f"{'':8} {'rerun_mp':>24} {'rerun':>24} {'p50':>6} {'p99.9':>6} {'rows/s':>10} {'rerun':>9} {'ratio':>6}")
    for kind in options.kinds or ROWS:
        measured: dict[tuple[str, bool], list[dict[str, Any]]] = {}
        for _ in range(options.turns):
            for timed in (True, False):
                for package in ("rerun_mp", "rerun"):
                    rows = ROWS[kind] if package == "rerun_mp" else ROWS[kind] // 10
                    rows = min(rows, SAMPLES) if timed else rows
                    for _ in range(MOST_REPEATS):
                        result = run(package, kind, options.workers, rows, timed=timed)
                        if result["foreign"] <= MOST_FOREIGN:
                            break
                    measured.setdefault((package, timed), []).append(result)
        show(kind, measured)


def show(kind: str, measured: dict[tuple[str, bool], list[dict[str, Any]]]) -> None:
    """Print one line."""
    calls = {
        package: [median(result["latencies"][q] / 1e3 for result in measured[package, True]) for q in range(3)]
        for package in ("rerun_mp", "rerun")
    }
    rates = {
        package: median(result["rate"] for result in measured[package, False]) for package in ("rerun_mp", "rerun")
    }
    foreign = max(result["foreign"] for results in measured.values() for result in results)
    texts = {package: " / ".join(f"{value:.2f}" for value in values) for package, values in calls.items()}
    print(
        f"{kind:8} {texts['rerun_mp']:>24} {texts['rerun']:>24} {calls['rerun'][0] / calls['rerun_mp'][0]:>5.1f}x "
        f"{calls['rerun'][2] / calls['rerun_mp'][2]:>5.1f}x {rates['rerun_mp']:>10,.0f} {rates['rerun']:>9,.0f} "
        f"{rates['rerun_mp'] / rates['rerun']:>5.1f}x   (others used up to {foreign:.2f} of a core)",
        flush=True,
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        package, kind, workers, rows, timed, path = sys.argv[2:8]
        one(package, kind, int(workers), int(rows), timed == "1", path)
    else:
        main()
