"""Processes that may still join a session: those that its name was passed on to, and the ranks of its job.

A process that exec'd and has not imported rerun_mp yet holds no lease. Its environment names the session. These
functions look at the processes of this user in /proc. The worker and the guard call them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, parse_name, segment_name
from rerun_mp.session import directories, heirs, jobs
from rerun_mp.session.kinship import (
    command_line,
    environment_of,
    executable_of,
    own_processes,
    parent_of,
    uses_segment,
)
from rerun_mp.shm.segment import Segment

__all__ = ["newcomers", "watch_note"]

HELPERS = ("resource_tracker import main", "multiprocessing.forkserver")
"""Command lines of processes that inherit the session and join no session themselves."""
NOTE_SECS = 10.0
"""Maximum seconds that the guard stays after the end, to remove a note that no process needs any more."""
MIN_NOTE_PAUSE = 0.05
MAX_NOTE_PAUSE = 1.0
"""Seconds between two looks for processes that need the note: they grow from the minimum to the maximum."""


def newcomers(segment: Segment) -> Iterator[int]:
    """Yield the ids of the processes that may still join the session."""
    for pid in own_processes():
        if pid != os.getpid() and _may_join(segment, pid):
            yield pid


def watch_note(segment: Segment) -> None:
    """Remove the note as soon as no process needs it, for a bounded time: most helpers of a program end soon after it.

    The guard calls this when the session has ended, and no process waits for it.
    """
    deadline = time.monotonic() + NOTE_SECS
    pause = MIN_NOTE_PAUSE
    while heirs.has_note(segment) and time.monotonic() < deadline:
        note = heirs.find_note(os.path.basename(segment.living_path), segment.root)
        if next(newcomers(segment), None) is None and not (note is not None and heirs.may_restart(note.config)):
            heirs.remove_note(segment)
            directories.remove_base_of(segment.runtime_directory)
            return
        time.sleep(pause)
        pause = min(2 * pause, MAX_NOTE_PAUSE)


def _may_join(segment: Segment, pid: int) -> bool:
    environment = environment_of(pid)
    if not _names(segment, environment, pid) or _is_bystander(pid):
        return False
    # A process that has the segment mapped has joined before, and left.
    return not uses_segment(pid, frozenset((segment.inode,)))


def _names(segment: Segment, environment: Mapping[str, str], pid: int) -> bool:
    """Return whether an environment names the session, or a job whose session it is."""
    place = os.path.basename(segment.living_path)
    name = parse_name(environment.get(ENVIRONMENT_VARIABLE, ""))
    if name is not None and name.root in (b"", segment.root) and place in _places(name.key, segment.root):
        return True
    job = jobs.job_of(environment, pid) if jobs.may_be_rank(environment) else None
    return job is not None and segment_name(jobs.key_of(job)) == place


def _places(key: bytes, root: bytes) -> tuple[str, str]:
    return segment_name(key), segment_name(key, root)


def _is_bystander(pid: int) -> bool:
    """Return whether a process that has inherited the session will not join by itself."""
    line = command_line(pid)
    if executable_of(pid) == "rerun":
        return True
    if not any(helper in line for helper in HELPERS):
        return False
    # A child of the fork server has the server's command line, and may be a worker that has not logged yet.
    return "multiprocessing.forkserver" not in command_line(parent_of(pid))
