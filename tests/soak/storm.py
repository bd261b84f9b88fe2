"""The program of an episode: a parent that starts workers, kills them at random, and starts others in their place.

Its only argument is a JSON object, see `Settings`.

A worker numbers its calls, and after each that has returned stores the number of the next one in a file that all share.
So whoever kills it knows which calls have returned: all below that number, and perhaps the one that has it. What call
`n` of worker `w` logs follows from the two numbers.
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
"""What the calls log."""
COLUMNS = 5
"""Rows of a call of `send_columns`."""
STOP = 0
"""Index in the journal of the word that ends the workers; the next ones belong to worker 0, 1, ..."""
BURST = 20
"""Calls between two pauses: so many episodes shall not drown in rows."""
BURST_PAUSE_SECS = 0.001
PATIENCE_SECS = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What an episode asks of its program."""

    seed: int
    path: str
    """The recording."""
    journal: str
    method: str
    """How workers are started."""
    workers: int
    """How many at a time."""
    kills: int
    delay_secs: float
    """Until the next kill, at most."""
    url: str | None = None
    """Of a gRPC server that gets the rows, too."""


def open_journal(path: str | Path, workers: int = 0) -> memoryview:
    """Open the file in which workers count their calls, as words. With `workers`, make it for so many."""
    if workers:
        Path(path).write_bytes(bytes(8 * (1 + workers)))
    with open(path, "r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")


def kind_of(worker: int, call: Any) -> Any:
    """Return the index in KINDS of what a call logs; `call` may be an array."""
    return (worker * 3 + call * 7 + (call >> 3)) % len(KINDS)


def work(settings: Settings, worker: int) -> None:
    """Log until the word says stop."""
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
    """Be the parent."""
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
        if choose.random() < 0.8:  # the others may die before they have begun
            wait_for(lambda word=1 + victim: journal[word], living[victim])
        time.sleep(choose.uniform(0.0, settings.delay_secs))
        living[victim].kill()
        living.pop(victim).join()
        killed.append(victim)
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
    """Wait until something is true, or a worker has ended."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not condition() and (worker is None or worker.is_alive()):
        if time.monotonic() > deadline:
            os.kill(os.getpid(), signal.SIGABRT)  # with the stacks of all threads
        time.sleep(0.0005)
