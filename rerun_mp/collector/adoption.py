"""Lets go of a program that waits for the collector's end.

The collector is nobody's child: its starter's intermediate process has ended, and the kernel gives it to the nearest
subreaper, usually the init process. But in a container without an init, the program itself is process 1, and a
supervisor may have made itself a subreaper. Then the kernel gives the collector to the program, and a loop of
`os.wait()` until no child is left would never end, because the collector waits for the program's end.

No kernel offers another parent: what a process starts stays below it. So the worker looks, while it has nothing else to
do, whether the process that has adopted the collector is a participant that has no other children and waits for one.
If so, worker and guard end. The next row of any participant, or its exit, starts a collector again.

Used by the worker's main thread.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from rerun_mp.session import kinship
from rerun_mp.shm.segment import Segment

__all__ = ["is_awaited"]

UNREADABLE = (OSError, ValueError, IndexError)
"""What a look at another process raises that has ended, or that this process may not look at."""


KNOWN_SECS = 5.0
"""Seconds for which the collector remembers whether its adopter is a participant. The adopter is usually a foreign init
process. Four looks a second at its threads and children took two fifths of an idle collector's time."""
QUIET_SECS = 10.0
"""Seconds without a row after which a program may be waiting, if the kernel does not tell what a process waits in."""


_known: tuple[int, bool, float] | None = None
"""Process id of the adopter, whether it is a participant, and until when that counts (monotonic seconds)."""


def is_awaited(segment: Segment, quiet_secs: float) -> bool:
    """Return whether the program waits for the collector, and for no other child.

    Parameters
    ----------
    segment
        The session's segment.
    quiet_secs
        Seconds since the last row.
    """
    with suppress(*UNREADABLE):
        own, parent = os.getpid(), os.getppid()
        # The header's word for the guard may be damaged.
        is_guard = kinship.collector_of(parent) == ("guard", segment.nonce.hex())
        adopter = _parent_of(parent) if is_guard else parent
        if adopter <= 0 or not _is_participant(adopter, segment):
            return False
        return _waits(adopter, if_unknown=quiet_secs > QUIET_SECS) and _children_of(adopter) <= {own, parent}
    return False


def _parent_of(pid: int) -> int:
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The program's name stands in parentheses, and may itself have some.
        return int(file.read().rpartition(b")")[2].split()[1])


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
    children = set()
    for name in os.listdir("/proc"):
        if name.isdecimal():
            with suppress(*UNREADABLE):
                if _parent_of(int(name)) == pid:
                    children.add(int(name))
    return children


def _is_participant(pid: int, segment: Segment) -> bool:
    """Return whether the process has mapped the session's segment. The answer is at most `KNOWN_SECS` old."""
    global _known
    now = time.monotonic()
    if _known is None or _known[0] != pid or now >= _known[2]:
        _known = pid, kinship.uses_segment(pid, frozenset({segment.inode})), now + KNOWN_SECS
    return _known[1]
