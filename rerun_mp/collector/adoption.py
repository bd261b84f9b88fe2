"""Ends the collector while a program that has become its parent waits for all of its children.

An intermediate process starts the collector and ends, so the kernel makes the nearest subreaper the collector's parent,
usually the init process. But in a container without an init, the program itself is process 1, and a supervisor may have
made itself a subreaper. Then the program becomes the parent, and a loop of `os.wait()` until no child is left would
never end, because the collector waits for the program's end. The kernel offers no other parent. So the worker looks,
while it has nothing else to do, whether the process that has adopted the collector is a participant that has no other
children and waits for one. If so, worker and guard end. The next row of any participant, or its exit, starts a
collector again.

Used by the worker's main thread.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import NamedTuple

from rerun_mp.session import kinship
from rerun_mp.shm.segment import Segment

__all__ = ["is_awaited"]

KNOWN_SECS = 5.0
"""Seconds for which the collector remembers whether its parent is its guard, and whether its adopter is a participant.
The adopter is usually the init process. A look at these processes four times a second took two fifths of an idle
collector's time."""
QUIET_SECS = 10.0
"""Seconds without a row after which a program may be waiting, if the kernel does not tell what a process waits in."""


class _Known(NamedTuple):
    """An answer about another process, and until when it counts (monotonic seconds)."""

    pid: int = 0
    answer: bool = False
    until: float = 0.0

    def counts_for(self, pid: int) -> bool:
        return self.pid == pid and time.monotonic() < self.until


_guard = _Known()
"""Whether the parent is the session's guard."""
_participant = _Known()
"""Whether the adopter is a participant."""


def is_awaited(segment: Segment, quiet_secs: float) -> bool:
    """Return whether the program waits for the collector, and for no other child.

    Parameters
    ----------
    segment
        The session's segment.
    quiet_secs
        Seconds since the last row.
    """
    with suppress(OSError):  # the process has ended, or this one may not look at it
        own, parent = os.getpid(), os.getppid()
        adopter = kinship.parent_of(parent) if _is_guard(parent, segment) else parent
        if adopter <= 0 or not _is_participant(adopter, segment):
            return False
        return _waits(adopter, if_unknown=quiet_secs > QUIET_SECS) and _children_of(adopter) <= {own, parent}
    return False


def _waits(pid: int, *, if_unknown: bool) -> bool:
    """Return whether a thread of the process sits in one of the kernel's calls that wait for a child."""
    is_known = False
    for thread in os.listdir(f"/proc/{pid}/task"):
        with suppress(OSError), open(f"/proc/{pid}/task/{thread}/wchan", "rb") as file:
            place = file.read()
            if b"do_wait" in place:
                return True
            is_known = is_known or place not in (b"", b"0")
    return False if is_known else if_unknown


def _children_of(pid: int) -> set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdecimal() and kinship.parent_of(int(name)) == pid}


def _is_guard(pid: int, segment: Segment) -> bool:
    """Return whether the process is the session's guard. The answer is at most `KNOWN_SECS` old.

    The command line says so, because the header's word for the guard may be damaged.
    """
    global _guard
    if not _guard.counts_for(pid):
        is_guard = kinship.collector_of(pid) == ("guard", segment.nonce.hex())
        _guard = _Known(pid, is_guard, time.monotonic() + KNOWN_SECS)
    return _guard.answer


def _is_participant(pid: int, segment: Segment) -> bool:
    """Return whether the process has mapped the session's segment. The answer is at most `KNOWN_SECS` old."""
    global _participant
    if not _participant.counts_for(pid):
        uses = kinship.uses_segment(pid, frozenset({segment.inode}))
        _participant = _Known(pid, uses, time.monotonic() + KNOWN_SECS)
    return _participant.answer
