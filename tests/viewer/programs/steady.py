"""A user's program: workers log curves and readings at a steady rate.

Usage: steady.py STOP URL [FILE]. Logs to the viewer at URL, and to FILE if it is given, until the file STOP exists.
Prints `beat N` every second and, at the end, JSON: the rows of each entity, and for how many seconds a
call has slept at most.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import rerun_mp as rr
from tests.harness.waits import SleepClock

APPLICATION = "rerun_mp_steady"
WORKERS = 2
PACE_SECS = 0.004
READINGS = 400_000
READINGS_EVERY = 100
"""Steps between two readings. Two workers log 4 MB/s: more in 5 s than a gRPC stream buffers."""


def work(worker: int, is_over: Any, results: Any) -> None:
    """Log until `is_over` is set."""
    counts: Counter[str] = Counter()
    longest, clock = 0.0, SleepClock()
    random = np.random.default_rng(worker)
    step = 0
    while not is_over.value:
        rr.set_time("step", sequence=step)
        row: Any = rr.Scalars(float(step))
        path = f"worker_{worker}/curve"
        if step % READINGS_EVERY == 0:
            # A long text that no view shows: many bytes to send, and little work for the viewer.
            row, path = rr.AnyValues(readings=random.bytes(READINGS).hex()), f"worker_{worker}/readings"
        begin = clock.secs()
        rr.log(path, row)
        longest = max(longest, clock.secs() - begin)
        counts[path] += 1
        step += 1
        time.sleep(PACE_SECS)
    results.put((counts, longest))


def main() -> None:
    """Run the workers."""
    stop, url, *files = sys.argv[1:]
    context = multiprocessing.get_context("fork")
    rr.init(APPLICATION)
    rr.set_sinks(rr.GrpcSink(url), *(rr.FileSink(path) for path in files))
    is_over, results = context.RawValue("b", 0), context.SimpleQueue()
    processes = [context.Process(target=work, args=(worker, is_over, results)) for worker in range(WORKERS)]
    for process in processes:
        process.start()
    beat = 0
    while not Path(stop).exists():
        time.sleep(1.0)
        beat += 1
        print(f"beat {beat}", flush=True)
    is_over.value = 1
    for process in processes:
        process.join()
    ended = [results.get() for _ in processes]
    counts: Counter[str] = Counter()
    for worker_counts, _ in ended:
        counts += worker_counts
    print(json.dumps({"rows": counts, "longest_secs": max(longest for _, longest in ended)}))


if __name__ == "__main__":
    main()
