"""Workers log without end, each in its own way, while the main process pauses and resumes the recording.

Usage: pausing.py FILE. Each row has the number of its call as the time `call`. The output has one line of JSON for
each worker: the number of its last call well after the pause, the last one before the resumption, and the last of all.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from typing import Any

import numpy as np

import rerun_mp as rr

WAYS = ("Scalars", "series", "Image", "TextLog", "send_columns")
SETTLE_SECS = 0.6
CALLS = 50


def work(way: str, calls: Any, is_over: Any) -> None:
    """Log in one way until it is over."""
    number_of = rr.series("series")
    picture = np.zeros((64, 64), np.uint8)
    ways: dict[str, Any] = {
        "Scalars": lambda number: rr.log("Scalars", rr.Scalars(float(number))),
        "series": lambda number: number_of(float(number)),
        "Image": lambda _: rr.log("Image", rr.Image(picture)),
        "TextLog": lambda number: rr.log("TextLog", rr.TextLog(str(number)), static=False),
        "send_columns": lambda number: rr.send_columns(
            "send_columns", [rr.TimeColumn("call", sequence=[number])], rr.Scalars.columns(scalars=[float(number)])
        ),
    }
    while not is_over.value:
        calls.value += 1
        rr.set_time("call", sequence=calls.value)
        ways[way](calls.value)
        time.sleep(0.0005)


def await_calls(all_calls: list[Any]) -> list[int]:
    """Wait until each worker has made some more calls, and return the number of its last one."""
    before = [calls.value for calls in all_calls]
    while any(calls.value < number + CALLS for calls, number in zip(all_calls, before, strict=True)):
        time.sleep(0.001)
    return [calls.value for calls in all_calls]


def main() -> None:
    """Run the workers."""
    rr.init("pausing")
    rr.save(sys.argv[1])
    fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    counters: list[Any] = [spawn.Value("q", 0) for _ in WAYS]
    is_over = spawn.Value("b", 0)
    workers: list[Any] = [
        (spawn if way == "TextLog" else fork).Process(target=work, args=(way, calls, is_over))
        for way, calls in zip(WAYS, counters, strict=True)
    ]
    for worker in workers[:-1]:
        worker.start()
    rr.log("main", rr.Scalars(1.0))
    await_calls(counters[:-1])
    rr.pause()
    rr.log("main", rr.Scalars(2.0))
    workers[-1].start()  # a process that begins in the pause
    end = time.monotonic() + SETTLE_SECS
    settled = await_calls(counters)
    while time.monotonic() < end:
        settled = await_calls(counters)
    await_calls(counters)
    is_paused = rr.is_paused()
    resumed = [calls.value for calls in counters]
    rr.resume()
    rr.log("main", rr.Scalars(3.0))
    await_calls(counters)
    is_over.value = 1
    for worker in workers:
        worker.join()
    assert is_paused
    assert not rr.is_paused()
    for way, *numbers in zip(WAYS, settled, resumed, (calls.value for calls in counters), strict=True):
        print(json.dumps([way, *numbers]))


if __name__ == "__main__":
    main()
