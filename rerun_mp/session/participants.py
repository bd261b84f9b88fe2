"""Whether other participants of a session live.

A process asks this when it leaves, and when it waits for the session's end.

The kernel drops a participant's share of the lock when it frees the process's memory. A process that reads the dead
one's files in /proc at that moment (ps, a monitor, the collector) keeps this memory, and the share, for some
milliseconds after the parent has reaped the process. So a share alone does not prove that a participant lives. A
process that left because of such a share would leave its file unfinished. Any thread may call.
"""

from __future__ import annotations

import os
import time

from rerun_mp.session import kinship
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Lock

__all__ = ["LINGER_SECS", "Participants"]

LINGER_SECS = 2.0
"""Seconds after which a share counts as a participant's although no process in /proc holds it. /proc may show only the
processes of this container or user."""


class Participants:
    """The participants of one session other than the calling process, which holds no share."""

    def __init__(self) -> None:
        self._since: float | None = None
        """Since when (monotonic clock) a share is held by no process in /proc. None: there is no such share."""

    def remain(self, descriptor: int) -> bool:
        """Say whether a participant lives. `descriptor`: the segment's file, open without a lock."""
        # A collector that ends the session holds the lock too, but exclusively.
        if not leases.is_shared(descriptor, Lock.PARTICIPANTS):
            self._since = None
            return False
        inode = os.fstat(descriptor).st_ino
        if any(kinship.holds_lease(pid, inode) for pid in kinship.own_processes() if pid != os.getpid()):
            self._since = None
            return True
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= LINGER_SECS
