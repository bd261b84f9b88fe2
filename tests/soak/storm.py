"""The program of an episode: a parent that starts workers, kills them at random, and starts others in their place.

Its only argument is a JSON object of `Settings`.

A worker numbers its calls. After each return it stores the number of its next call in a shared file, the journal. So
the parent knows which calls of a killed worker returned: all below that number, and perhaps the call of that number.
The two numbers of worker and call determine what the call logs.
"""

from __future__ import annotations

import json
import mmap
import multiprocessing
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import rerun_mp as rr

__all__ = ["COLUMNS", "KINDS", "STOP", "Settings", "kind_of", "open_journal"]

KINDS = ("scalar", "text", "scalar", "points", "columns", "image", "scalar", "boxes", "large", "series")
"""The kinds of calls, by index."""
COLUMNS = 5
"""Rows of a call of `send_columns`."""
STOP = 0
"""Index in the journal of the word that ends the workers. Worker 0, 1, ... has the word after that, and so on."""
BURST = 20
"""Calls between two pauses of a worker. The pauses limit the number of rows."""
BURST_PAUSE_SECS = 0.001
PATIENCE_SECS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The program's part of an episode."""

    seed: int
    path: str
    """Path of the recording's file."""
    journal: str
    method: str
    """Start method of the workers."""
    workers: int
    """Workers that run at a time."""
    kills: int
    delay_secs: float
    """Maximum seconds until the next kill."""
    url: str | None = None
    """URL of a gRPC server that gets the rows too."""


def open_journal(path: str | Path, workers: int = 0) -> memoryview:
    """Open the journal as words. With `workers`, create it for that number of workers."""
    if workers:
        Path(path).write_bytes(bytes(8 * (1 + workers)))
    with open(path, "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")


def kind_of(worker: int, call: Any) -> Any:
    """Return the index in KINDS of what a call logs; `call` may be an array."""
    return (worker * 3 + call * 7 + (call >> 3)) % len(KINDS)


def work(settings: Settings, worker: int) -> None:
    """Log until the stop word is set."""
    journal = open_journal(settings.journal)
    points = np.zeros((20, 3), np.float32)
    small, large = np.zeros((40, 30, 3), np.uint8), np.zeros((256, 400, 3), np.uint8)
    series = rr.series(f"w{worker}/series")
    call = 0
    while not journal[STOP]:
        kind = KINDS[kind_of(worker, call)]
        entity = f"w{worker}/{kind}"
        rr.set_time("call", sequence=call)
        if kind == "scalar":
            rr.log(entity, rr.Scalars(float(call)))
        elif kind == "text":
            rr.log(entity, rr.TextLog(f"call {call}"))
        elif kind == "points":
            rr.log(entity, rr.Points3D(points))
        elif kind == "columns":
            times = rr.TimeColumn("call", sequence=[call] * COLUMNS)
            rr.send_columns(entity, [times], rr.Scalars.columns(scalars=np.arange(COLUMNS, dtype=float)))
        elif kind == "image":
            rr.log(entity, rr.Image(small))
        elif kind == "boxes":
            rr.log(entity, rr.Boxes3D(half_sizes=[[1, 1, call]]))
        elif kind == "large":
            rr.log(entity, rr.Image(large))
        else:
            series(float(call))
        call += 1
        journal[1 + worker] = call
        if call % BURST == 0:
            time.sleep(BURST_PAUSE_SECS)


def main() -> None:
    """Run the parent: start workers, kill them at random, and print the killed ones and the accounts."""
    settings = Settings(**json.loads(sys.argv[1]))
    choose = random.Random(settings.seed)
    context: Any = multiprocessing.get_context(settings.method)
    if settings.method == "forkserver":
        context.set_forkserver_preload(["numpy", "rerun_mp", "tests.soak.storm"])
    journal = open_journal(settings.journal)
    rr.init("rerun_mp_soak")
    if settings.url is None:
        rr.save(settings.path)
    else:
        rr.set_sinks(rr.FileSink(settings.path), rr.GrpcSink(settings.url))
    started = 0
    living: dict[int, Any] = {}
    killed = []
    for _ in range(settings.kills):
        while len(living) < settings.workers:
            living[started] = context.Process(target=work, args=(settings, started))
            living[started].start()
            started += 1
        victim = choose.choice(list(living))
        if choose.random() < 0.8:  # the other victims may die before their first call
            wait_for(lambda word=1 + victim: journal[word], living[victim])
        time.sleep(choose.uniform(0.0, settings.delay_secs))
        living[victim].kill()
        living.pop(victim).join()
        killed.append(victim)
    # On a busy machine each victim may have made one call, and no other worker any.
    wait_for(lambda: sum(journal[1 : 1 + started]) > settings.kills, None)
    print(json.dumps(killed), flush=True)
    journal[STOP] = 1
    for number, worker in living.items():
        worker.join(PATIENCE_SECS)
        assert worker.exitcode == 0, f"worker {number} ended with {worker.exitcode}"
    rr.flush()
    wait_for(lambda: not any(a.is_live for a in rr.statistics().producers if a.pid != os.getpid()), None)
    statistics = rr.statistics()
    print(json.dumps([statistics.logged, statistics.delivered, statistics.dropped]), flush=True)


def wait_for(condition: Any, worker: Any) -> None:
    """Wait until `condition()` is true or `worker` has ended."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not condition() and (worker is None or worker.is_alive()):
        if time.monotonic() > deadline:
            os.kill(os.getpid(), signal.SIGABRT)  # prints the stacks of all threads
        time.sleep(0.0005)
