"""How guard and worker start: each outlives signals, and attaches to the session's segment."""

from __future__ import annotations

import signal

from rerun_mp.shm import segment
from rerun_mp.shm.segment import Segment

__all__ = ["ALREADY_RUNNING", "find_segment", "outlive_signals"]

ALREADY_RUNNING = 3
"""Exit status of a worker that finds another one running."""


def outlive_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP only wake this process.

    They ask a process to stop; the collector goes on draining until its session ends.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def find_segment(path: str, nonce: str) -> Segment | None:
    """Attach, without participating, to the segment with this nonce. None if there is none.

    It lies at `path`, or under the name that it gets when its session ends.
    """
    for candidate in (path, segment.ending_path(path, nonce)):
        joined = segment.attach(candidate, participate=False)
        if joined is not None and joined.nonce.hex() == nonce:
            return joined
    return None
