"""Finds leftover sessions: all processes of their trees were killed, the collectors included.

A session counts only if its directories exist and lie where this process would put its own: containers may share
/dev/shm but not their files, or files but not /dev/shm. A session with a segment is left over if no process holds a
lock on the segment. A session without a segment is left over if its locks on its files are free, too (`origin`). If in
addition its origin proves that its segment is gone for good, it may be recovered without being asked; otherwise only
the explicit command recovers it.

A founder calls `recover_in_background`, which reads some names and locks; what it starts is `python -m rerun_mp
recover`. No function here changes a session. Any thread may call.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import NamedTuple

from rerun_mp.errors import RerunMpError
from rerun_mp.hooks.detached import start_detached
from rerun_mp.hooks.interpreters import python_command
from rerun_mp.session import directories
from rerun_mp.session.collector_start import collector_environment, output_to
from rerun_mp.session.config_file import read_config_in
from rerun_mp.session.notices import say
from rerun_mp.session.origin import Origin, is_alive
from rerun_mp.shm.survey import survey

__all__ = ["LeftoverSession", "find_leftovers", "recover_in_background", "start_recovery"]

MIN_AGE_SECS = 60.0
"""Directories without an origin count as left over after so many seconds: younger ones may be in the making."""

_has_searched = False
"""Whether this process, or one that forked it, has searched for leftover sessions: once is enough."""


class LeftoverSession(NamedTuple):
    """A session without a living process."""

    name: str
    """Name of its directories: the beginning of its nonce."""
    segment_path: str | None
    """None: the segment is gone, or lies in another /dev/shm, and only files are here."""
    runtime_directory: str
    spool_directory: str
    is_certain: bool = True
    """Whether the session has proven to be dead: it may be recovered without being asked."""


def find_leftovers() -> tuple[list[LeftoverSession], list[str]]:
    """Return the leftover sessions, and for each segment of this user that cannot be read, the reason."""
    spool_base, runtime_base = directories.spool_base(), directories.runtime_base()
    # Directories first: a session has them from before its segment exists until the segment is about to be removed.
    names = {*directories.session_names(spool_base), *directories.session_names(runtime_base)}
    found, problems = survey()
    leftovers = [
        LeftoverSession(one.nonce.hex()[:16], one.path, one.runtime_directory, one.spool_directory)
        for one in found
        if one.is_leftover
        and (
            os.path.dirname(one.spool_directory) == spool_base or os.path.dirname(one.runtime_directory) == runtime_base
        )
        and (os.path.isdir(one.spool_directory) or os.path.isdir(one.runtime_directory))
    ]
    here = Origin.here()
    for name in sorted(names - {one.nonce.hex()[:16] for one in found}):
        left = _look_at(name, os.path.join(runtime_base, name), os.path.join(spool_base, name), here)
        if left is not None:
            leftovers.append(left)
    return leftovers, problems


def _look_at(name: str, runtime: str, spool: str, here: Origin) -> LeftoverSession | None:
    """Return the session of these directories, which has no segment here; None if it lives, or may live."""
    found = Origin.read(spool, runtime)
    try:
        # A session that shares the runtime directory may have its spool in another home.
        if is_alive(spool) or (found is not None and is_alive(found.spool_directory)):
            return None
        youngest = max(os.stat(path).st_mtime for path in (runtime, spool) if os.path.isdir(path))
    except (OSError, ValueError):
        return None  # another user's, or gone by now
    if found is None and abs(time.time() - youngest) < MIN_AGE_SECS:
        return None
    is_certain = found is not None and (found.proves_end(here) or _is_complete(spool))
    return LeftoverSession(name, None, runtime, spool, is_certain)


def _is_complete(spool: str) -> bool:
    """Say whether a session's files are complete: a container that ended right after them left the directories."""
    try:
        journals = [os.path.join(spool, name, "journal.json") for name in os.listdir(spool)]
        found = []
        for path in filter(os.path.exists, journals):
            with open(path, "rb") as file:
                found.append(bool(json.load(file)["is_complete"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(found) and all(found)


def recover_in_background(application_id: str) -> None:
    """Start a recovery of the sessions that are certainly left over, if there are any. Never waits, never raises.

    It says where the rows of this application go if they have no file. It does not speak of other programs. If this
    program is about to write to the path of a file that is recovered, `ownership` says what becomes of that file.
    """
    global _has_searched
    if _has_searched:
        return
    _has_searched = True
    with contextlib.suppress(OSError, RerunMpError):
        found = [one for one in find_leftovers()[0] if one.is_certain]
        is_without_file = any(_is_without_file(one, application_id) for one in found)
        if found:
            start_recovery()
        if is_without_file:
            into = directories.rescue_base()
            say(f"a killed run of {application_id} had no file; its rows, if there are any, go into {into}")


def _is_without_file(left: LeftoverSession, application_id: str) -> bool:
    with contextlib.suppress(OSError, RerunMpError):
        return any(
            spec.application_id == application_id and not any(sink.kind == "file" for sink in spec.sinks)
            for spec in read_config_in(left.runtime_directory, left.spool_directory).recordings
        )
    return False


def start_recovery() -> None:
    """Start `rerun-mp recover --automatic` as a process that is not a child of this one.

    Raises
    ------
    OSError
        If no process can be started.
    """
    command = [*python_command("rerun_mp"), "recover", "--automatic"]
    start_detached(command, collector_environment(), output_to(os.devnull))
