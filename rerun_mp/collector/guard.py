"""The guard: a bare interpreter that keeps a worker running until the session has ended.

It holds the GUARD byte. The worker starts a guard when that byte is free, and the guard starts a worker when the last
one has ended. So each replaces the other when it is killed. The guard reads and writes only a few words of the header,
never the ring, and imports neither numpy nor pyarrow nor rerun.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time

from rerun_mp.collector.messages import say
from rerun_mp.collector.starting import ALREADY_RUNNING, find_segment, outlive_signals
from rerun_mp.session.collector_start import STARTER_DESCRIPTOR, collector_command, collector_environment
from rerun_mp.shm import introductions, leases
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["main"]

FIRST_DELAY = 0.02
"""Seconds between a worker's end and the next start. Each further death doubles the delay."""
MAX_DELAY = 1.0
"""Maximum seconds between a worker's end and the next start."""
STABLE_SECS = 5.0
"""A worker that has lived for this many seconds resets the delay to `FIRST_DELAY`."""
MAX_FAILED_STARTS = 8
"""Number of workers in a row that fail before the guard pauses. It also pauses after each further one. A row that kills
workers is found after five of them (`quarantine`)."""
FIRST_PAUSE = 15.0
"""Seconds of the first pause. Each further one takes twice as long. `ensure_collector` names the reason meanwhile."""
MAX_PAUSE = 300.0
"""Maximum seconds of a pause."""
PAUSE_STEP = 0.1
"""Seconds between two checks, during a pause, whether the session has ended or lost its participants."""


def main(path: str, nonce: str) -> int:
    """Guard the session's worker. Returns when the session has ended, or if another guard is running."""
    outlive_signals()
    os.chdir("/")  # a disk can only be unmounted if no process has its directory there
    joined = find_segment(path, nonce)
    if joined is None:
        return 0
    descriptor = joined.open()
    if not leases.try_lock(descriptor, Lock.GUARD):
        return 0
    joined.ring.words[Header.GUARD_PID] = os.getpid()
    # The GUARD byte now tells other processes that a guard runs. The starter's lock has done that until here.
    with contextlib.suppress(OSError):
        os.close(STARTER_DESCRIPTOR)
    _keep_running(joined, descriptor)
    # Imported here, so that a guard starts with few modules.
    from rerun_mp.collector.newcomers import watch_note

    watch_note(joined)
    return 0


def _keep_running(joined: Segment, descriptor: int) -> None:
    words = joined.ring.words
    delay = FIRST_DELAY
    while words[Header.SESSION_STATE] != SessionState.ENDED:
        begin, before = time.monotonic(), _progress(words)
        if leases.is_held(descriptor, Lock.WORKER):
            _watch_other(descriptor, words[Header.WORKER_PID])
            if words[Header.IS_AWAY]:
                return
        else:
            status = _run_worker(joined)
            if status == 0:
                return
            if words[Header.IS_AWAY]:
                return
            say(f"guard {os.getpid()}: the worker ended with status {status}")
            words[Header.FAILED_STARTS] += _has_failed(status, before, _progress(words))
        if time.monotonic() - begin > STABLE_SECS:
            delay, words[Header.FAILED_STARTS] = FIRST_DELAY, 0
        else:
            delay = min(delay * 2, MAX_DELAY)
        if words[Header.SESSION_STATE] != SessionState.ENDED:
            time.sleep(delay)
        surplus = words[Header.FAILED_STARTS] - MAX_FAILED_STARTS
        if surplus >= 0 and not _pause(joined, descriptor, min(FIRST_PAUSE * 2 ** min(surplus, 10), MAX_PAUSE)):
            return


def _progress(words: memoryview) -> tuple[int, int]:
    """Return how many workers were ready, and the number of the last sweep that is done."""
    return words[Header.READY_WORKERS], words[Header.SWEEP_DONE]


def _has_failed(status: int, before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Return whether the next worker will probably end in the same way.

    SIGKILL tells nothing about that. Another signal that ends a ready worker may come from a row: `quarantine` finds
    that row.
    """
    if status in (ALREADY_RUNNING, -signal.SIGKILL):
        return False
    return before == after or (before[1] == after[1] and status > 0)


def _pause(joined: Segment, descriptor: int, seconds: float) -> bool:
    """Start no worker for `seconds`, and publish that in the header.

    Returns False if no participant is left that needs a worker. A recovery will find the segment.
    """
    words = joined.ring.words
    say(f"guard {os.getpid()}: {words[Header.FAILED_STARTS]} workers could not start; the next try is in {seconds:g} s")
    end = time.monotonic() + seconds
    words[Header.NO_START_BEFORE] = int(end * 1e9)
    while time.monotonic() < end and words[Header.SESSION_STATE] != SessionState.ENDED:
        if not leases.is_held(descriptor, Lock.PARTICIPANTS):
            return False
        time.sleep(PAUSE_STEP)
    return True


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
    """Wait for the end of a worker that an earlier guard started.

    The free lease proves the end. The end of process `pid` only wakes the guard: the pid may be in use again.
    """
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
