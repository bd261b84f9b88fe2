"""A user's program: its workers keep a small ring full whenever the collector does not drain it.

Usage: pressing.py STOP FILE [URL]. Logs to FILE, and to the viewer at URL if it is given, until the file STOP exists.
Prints JSON: the rows of each entity, and the longest call in seconds.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

import rerun_mp as rr

WORKERS = 2
PACE_SECS = 0.004
TEXT = "x" * 4000
IMAGE_EVERY = 100
"""Steps between two images. An image is larger than the ring, and goes through the spool."""
RING_BYTES = 512 * 1024


def work(worker: int, stop: str, results: Any) -> None:
    """Log until the file `stop` exists."""
    counts: Counter[str] = Counter()
    longest = 0.0
    image = np.zeros((600, 600, 3), np.uint8)
    step = 0
    while not os.path.exists(stop):
        rows: dict[str, Any] = {"scalar": rr.Scalars(float(step)), "text": rr.TextLog(TEXT)}
        if step % IMAGE_EVERY == 0:
            rows["image"] = rr.Image(image)
        rr.set_time("step", sequence=step)
        for name, row in rows.items():
            rr.set_time("row", sequence=counts[f"{name}/{worker}"])
            begin = time.monotonic()
            rr.log(f"{name}/{worker}", row)
            longest = max(longest, time.monotonic() - begin)
            counts[f"{name}/{worker}"] += 1
        step += 1
        time.sleep(PACE_SECS)
    results.put((counts, longest))


def main() -> None:
    """Run the workers."""
    stop, path, *urls = sys.argv[1:]
    context = multiprocessing.get_context("fork")
    rr.init("rerun_mp_pressing", settings=rr.Settings(ring_bytes=RING_BYTES))
    rr.set_sinks(rr.FileSink(path), *map(rr.GrpcSink, urls))
    results = context.SimpleQueue()
    processes = [context.Process(target=work, args=(worker, stop, results)) for worker in range(WORKERS)]
    for process in processes:
        process.start()
    told = [results.get() for _ in processes]
    for process in processes:
        process.join()
    rows = sum((counts for counts, _ in told), Counter[str]())
    print(json.dumps({"rows": rows, "longest_secs": max(longest for _, longest in told)}))


if __name__ == "__main__":
    main()
