"""A user's program: its workers log on after its files are complete.

Usage: logging_after_completion.py ACTION FILE... With the action `kill` it kills the collector's worker before and
after it completes the files; with `drop` it drops its last handle of the recording; `none` does neither.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.synchronize import Barrier, Event

import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header
from tests.harness.recordings import rows_of, verify

action, *paths = sys.argv[1:]
kills = action == "kill"


def work(recording: rr.RecordingStream, begin: Event, ready: Barrier) -> None:
    ready.wait()
    begin.wait()
    for step in range(100):
        recording.log("worker", rr.Scalars(float(step)))


def kill_worker() -> None:
    joined = current.session()
    assert joined is not None
    os.kill(joined.segment.ring.words[Header.WORKER_PID], signal.SIGKILL)


context = multiprocessing.get_context("fork")
begin, ready = context.Event(), context.Barrier(3)
recordings = [rr.RecordingStream("app", recording_id="r", send_properties=False)]
with recordings[0] as recording:
    rr.set_sinks(*map(rr.FileSink, paths))
    rr.log("parent", rr.Scalars(1.0))
    if kills:
        rr.flush()
        kill_worker()
        rr.log("parent", rr.Scalars(2.0))
    workers = [context.Process(target=work, args=(recording, begin, ready)) for _ in range(2)]
    for worker in workers:
        worker.start()
    ready.wait()
    if action == "drop":
        del recording
        recordings.clear()
for path in paths:
    verify(path)
    assert len(rows_of(path)) == 1 + kills, path
if kills:
    kill_worker()
begin.set()
for worker in workers:
    worker.join()
