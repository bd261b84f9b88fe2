"""The guard: a bare interpreter that keeps a worker running until the session has ended.

It holds the GUARD byte. The worker in turn starts a guard when that byte is free, so that either may be killed. It maps
and touches nothing of the ring but two words of the header, and imports neither numpy nor pyarrow nor rerun.

SIGINT and SIGTERM mean: drain. The worker drains all the time, so there is nothing to do but not to die of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time

from rerun_mp.collector.messages import say
from rerun_mp.session.collector_start import STARTER_DESCRIPTOR, collector_command, collector_environment
from rerun_mp.shm import introductions as births
from rerun_mp.shm import leases, segment
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["main"]

FIRST_DELAY = 0.02
MAX_DELAY = 1.0
STABLE = 5.0
"""A worker that lived so many seconds did not die of what killed the one before."""


def main(path: str, nonce: str) -> int:
    """Guard the session's worker. Returns when the session has ended, or another guard is there."""
    outlive_signals()
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    descriptor = joined.open()
    if not leases.try_lock(descriptor, Lock.GUARD):
        return 0
    joined.ring.words[Header.GUARD_PID] = os.getpid()
    # The guard's lease is held: now the starter's may go.
    with contextlib.suppress(OSError):
        os.close(STARTER_DESCRIPTOR)
    _keep_running(joined, descriptor)
    return 0


def outlive_signals() -> None:
    """Let what would end a collector only wake it: it drains in any case."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)


def find_segment(path: str, nonce: str) -> Segment | None:
    """Attach, without taking part, to the segment with this nonce, under its name or under the one it ends with."""
    for candidate in (path, segment.ending_path(path, nonce)):
        joined = segment.attach(candidate, participate=False)
        if joined is not None and joined.nonce.hex() == nonce:
            return joined
    return None


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
        delay = FIRST_DELAY if time.monotonic() - begin > STABLE else min(delay * 2, MAX_DELAY)
        if words[Header.SESSION_STATE] != SessionState.ENDED:
            time.sleep(delay)


def _run_worker(joined: Segment) -> int:
    joined.restore_identity()
    try:
        worker = subprocess.Popen(
            collector_command(joined, "worker"),
            env=collector_environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=[births.DESCRIPTOR] if _is_open(births.DESCRIPTOR) else [],
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
    """Wait until a worker that an earlier guard started is gone. The lease is the proof, its pid only wakes us."""
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
