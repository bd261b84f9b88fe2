"""`rerun-mp stop`: end the processes of a session, and wait until their rows are in its files."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from rerun_mp.monitoring.overview import look_at
from rerun_mp.session.waiting import Backlog, Patience, Progress, wait_until

if TYPE_CHECKING:
    from rerun_mp.monitoring.overview import SessionView

__all__ = ["stop"]

GRACE_SECS = 3.0
"""Seconds between SIGTERM and SIGKILL."""


def stop(view: SessionView, *, timeout: float, kill: bool) -> list[int]:
    """Send SIGTERM to a session's processes, and wait until the session has ended, at most `timeout` seconds.

    With `kill`, processes that are still there after `GRACE_SECS` get SIGKILL. Returns the ids of the processes that
    are in the session at the end; none if it has ended.
    """
    _send(view.participants, signal.SIGTERM)
    begin = time.monotonic()
    progress = Progress(f"stopping {view.name}")
    patience = Patience("waiting until all rows are written; press Ctrl-C again to leave that to the collector")
    now: SessionView | None = view
    is_killed = False

    def is_over() -> bool:
        nonlocal now
        # While a session ends, its segment has another name: the collector still drains the ring and completes the
        # files.
        now = look_at(view.segment_path)
        if now is None or now.name != view.name:
            now = look_at(view.ending_path)
        return now is None

    def meanwhile() -> None:
        nonlocal is_killed
        if now is not None and now.participants and kill and not is_killed and time.monotonic() - begin > GRACE_SECS:
            is_killed = True
            _send(now.participants, signal.SIGKILL)
        if now is not None:
            progress.update(Backlog(now.waiting, 0))

    try:
        if wait_until(is_over, timeout, meanwhile=meanwhile, patience=patience):
            return []
    finally:
        progress.close()
    return list(now.participants) if now is not None else []


def _send(pids: tuple[int, ...], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
