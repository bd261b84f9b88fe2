"""A user's program: every process has the recording id that `init` derives."""

from __future__ import annotations

import multiprocessing
import uuid
from typing import Any

import rerun_mp as rr


def report(queue: Any) -> None:
    joined = rr.get_recording_id()
    rr.init("app")
    queue.put((joined, rr.get_recording_id(), rr.get_application_id()))


if __name__ == "__main__":
    rr.init("app")
    first = rr.get_recording_id()
    assert uuid.UUID(first).version == 4
    rr.init("app")
    assert rr.get_recording_id() == first
    rr.init("another")
    assert rr.get_recording_id() != first
    rr.init("app", recording_id="mine")
    assert rr.get_recording_id() == "mine"
    rr.init("app")
    for start in ("fork", "forkserver", "spawn"):
        context: Any = multiprocessing.get_context(start)
        queue = context.SimpleQueue()
        process = context.Process(target=report, args=(queue,))
        process.start()
        assert queue.get() == (first, first, "app"), start
        process.join()
