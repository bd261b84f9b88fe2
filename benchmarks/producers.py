"""A worker of a round: it logs its rows as fast as it can, or with a timer around each call.

Workers of rerun_mp are forked, as users do it. Workers of rerun-sdk are spawned and connect by themselves, because a
forked child of rerun logs nothing. A worker sends "ready" when its warm-up rows have arrived, waits for "go", and sends
its measurements.

A timed call gives two figures: `log` alone, and the whole statement with `set_time` and the archetype. rerun does most
of a row's work when it makes the archetype, rerun_mp none, so `log` alone favours rerun. Each figure includes one
reading of the clock (40 to 60 ns).
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.machine import rss_anon
from benchmarks.workloads import IMAGE_SHAPE, Job, archetypes, entity_paths

__all__ = ["APPLICATION", "ImageCopier", "Produced", "produce"]

APPLICATION = "rerun_mp_benchmark"
MADV_POPULATE_WRITE = 23
COPY_BYTES = 64 << 20
"""Bytes that copies go round in. Like the ring they are too large for the caches, so that the pages are cold."""
COPY_STEP = 1 << 20


@dataclass(frozen=True, slots=True)
class Produced:
    """The measurements of a worker."""

    begin_ns: int
    """Time of the first call, on CLOCK_MONOTONIC, which all processes share."""
    cpu_secs: float
    """CPU seconds of all threads, from the first call until the worker has sent everything."""
    grown_bytes: int
    """Growth of the private memory over the measured rows."""
    logs: list[int] = field(default_factory=list)
    """Nanoseconds of each `log`."""
    statements: list[int] = field(default_factory=list)
    """Nanoseconds of each `set_time`, archetype and `log` together."""
    copies: list[int] = field(default_factory=list)
    """Nanoseconds of each copy of an image's bytes."""


def produce(job: Job, url: str, gate: Connection) -> None:
    """Log the rows of one worker. Runs in the worker."""
    if job.carrier == "rerun":
        import rerun as rr

        rr.init(APPLICATION)
        rr.connect_grpc(url)
    else:
        import rerun_mp as rr  # type: ignore[no-redef]
    make, paths = archetypes(rr, job.kind), entity_paths(job.entities)
    copy = ImageCopier().copy if job.is_timed and job.kind == "image" and job.carrier == "rerun_mp" else None
    _log(rr, make, paths, job.warm_rows)
    _wait_until_received(rr, job.carrier)
    gate.send("ready")
    gate.recv()
    memory, cpu, begin = rss_anon(), time.process_time(), time.monotonic_ns()
    times = _log_timed(rr, make, paths, job, copy) if job.is_timed else {}
    if job.is_in_bursts:
        _log_bursts(rr, make, paths, job)
    elif not job.is_timed:
        _log(rr, make, paths, job.rows)
    if job.carrier == "rerun":
        rr.disconnect()
    gate.send(Produced(begin, time.process_time() - cpu, rss_anon() - memory, **times))


def _wait_until_received(rr: Any, carrier: str) -> None:
    """Wait until the collector or rerun's server has the warm-up rows, so that no start is measured."""
    if carrier == "rerun":
        rr.get_global_data_recording().flush()
    else:
        rr.flush()


def _log(rr: Any, make: Callable[[int], Any], paths: list[str], rows: int) -> None:
    log, set_time = rr.log, rr.set_time
    for n, path in zip(range(rows), cycle(paths)):
        set_time("step", sequence=n)
        log(path, make(n))


def _log_bursts(rr: Any, make: Callable[[int], Any], paths: list[str], job: Job) -> None:
    """Log one row to each entity and wait until they are stored: the most chunks for the fewest rows."""
    for _ in range(job.rows // job.entities):
        _log(rr, make, paths, job.entities)
        rr.flush()


def _log_timed(
    rr: Any, make: Callable[[int], Any], paths: list[str], job: Job, copy: Callable[[], None] | None
) -> dict[str, list[int]]:
    log, set_time, clock, sleep, pace = rr.log, rr.set_time, time.perf_counter_ns, time.sleep, job.pace_secs
    logs: list[int] = []
    statements: list[int] = []
    copies: list[int] = []
    for n, path in zip(range(job.rows), cycle(paths)):
        if pace:
            sleep(pace)
        first = clock()
        set_time("step", sequence=n)
        archetype = make(n)
        at = clock()
        log(path, archetype)
        done = clock()
        logs.append(done - at)
        statements.append(done - first)
        if copy is not None:
            sleep(pace)
            at = clock()
            copy()
            copies.append(clock() - at)
    return {"logs": logs, "statements": statements, "copies": copies}


class ImageCopier:
    """Copies an image's bytes into shared pages that are mapped already, round and round like the ring."""

    def __init__(self) -> None:
        import numpy as np

        descriptor = os.memfd_create("benchmark")
        os.ftruncate(descriptor, COPY_BYTES)
        self._memory = mmap.mmap(descriptor, COPY_BYTES)
        os.close(descriptor)
        self._memory.madvise(MADV_POPULATE_WRITE)
        self._image = np.random.default_rng(0).integers(0, 255, IMAGE_SHAPE, np.uint8).reshape(-1)
        starts = range(0, COPY_BYTES, COPY_STEP)
        self._places = cycle([np.frombuffer(self._memory, np.uint8, self._image.size, start) for start in starts])
        self._copyto = np.copyto

    def copy(self) -> None:
        """Copy the image once."""
        self._copyto(next(self._places), self._image)
