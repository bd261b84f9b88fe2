"""The guard: a bare interpreter that keeps a worker running until the session has ended.

It holds the GUARD byte. The worker starts a guard when that byte is free, and the guard a worker: so either may be
killed. The guard reads and writes only a few words of the header, never the ring, and imports neither numpy nor pyarrow
nor rerun.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time

from rerun_mp.collector.messages import say
from rerun_mp.collector.starting import find_segment, outlive_signals
from rerun_mp.session.collector_start import STARTER_DESCRIPTOR, collector_command, collector_environment
from rerun_mp.shm import introductions, leases
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["main"]

FIRST_DELAY = 0.02
"""Seconds between the end of a worker and the next start; doubled at each further death."""
MAX_DELAY = 1.0
"""Maximum seconds between the end of a worker and the next start."""
STABLE_SECS = 5.0
"""Seconds of life after which a worker's death begins again with `FIRST_DELAY`."""


def main(path: str, nonce: str) -> int:
    """Guard the session's worker. Returns when the session has ended, or if another guard is running."""
    outlive_signals()
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    descriptor = joined.open()
    if not leases.try_lock(descriptor, Lock.GUARD):
        return 0
    joined.ring.words[Header.GUARD_PID] = os.getpid()
    # The guard holds its own lease now, so the starter's may go.
    with contextlib.suppress(OSError):
        os.close(STARTER_DESCRIPTOR)
    _keep_running(joined, descriptor)
    # Needed only now; a guard starts with few modules.
    from rerun_mp.collector.newcomers import watch_note

    watch_note(joined)
    return 0


def _keep_running(joined: Segment, descriptor: int) -> None:
    words = joined.ring.words
    delay = FIRST_DELAY
    while words[Header.SESSION_STATE] != SessionState.ENDED:
        begin = time.monotonic()
        if leases.is_held(descriptor, Lock.WORKER):
            _watch_other(descriptor, words[Header.WORKER_PID])
        else:
            status = _run_worker(joined)
            if status == 0:
                return
            say(f"guard {os.getpid()}: the worker ended with status {status}")
        delay = FIRST_DELAY if time.monotonic() - begin > STABLE_SECS else min(delay * 2, MAX_DELAY)
        if words[Header.SESSION_STATE] != SessionState.ENDED:
            time.sleep(delay)


def _run_worker(joined: Segment) -> int:
    joined.restore_identity()
    try:
        worker = subprocess.Popen(
            collector_command(joined, "worker"),
            env=collector_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=[introductions.DESCRIPTOR] if _is_open(introductions.DESCRIPTOR) else [],
        )
    except OSError as error:
        say(f"guard {os.getpid()}: no worker could be started: {error}")
        return 1
    return worker.wait()


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _watch_other(descriptor: int, pid: int) -> None:
    """Wait for the end of a worker that an earlier guard started. Its lease proves the end; its pid only wakes us."""
    try:
        watched = os.pidfd_open(pid)
    except (OSError, OverflowError):
        watched = -1
    try:
        while leases.is_held(descriptor, Lock.WORKER):
            if watched >= 0:
                select.select([watched], [], [], 1.0)
            else:
                time.sleep(0.1)
    finally:
        if watched >= 0:
            os.close(watched)
