"""Reads and replaces a session's configuration file.

The file lies in the runtime directory and in the spool directory, because a logout removes the runtime directory while
the session goes on. A process replaces it under the CONFIG lock, then raises the revision in the segment's header; the
collector reads it whenever the revision has moved. If both directories have been removed, the worker puts the
configuration that it has applied into the runtime directory again, and readers wait for it. Any thread may call.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.errors import ResourceError, SessionError
from rerun_mp.session import directories
from rerun_mp.session.config import SessionConfig
from rerun_mp.session.refusals import as_resource_error
from rerun_mp.session.waiting import pause_length
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock
from rerun_mp.shm.transient import close_in_children, no_forks

if TYPE_CHECKING:
    from collections.abc import Callable

    from rerun_mp.shm.doorbell import Ringer
    from rerun_mp.shm.segment import Segment

__all__ = [
    "ConfigEditor",
    "find_config",
    "is_config_gone",
    "read_config",
    "read_config_in",
    "restore_config",
    "write_config",
]

CONFIG_NAME = "config.json"
LOCK_TIMEOUT_SECS = 10
"""Seconds that an edit waits for the CONFIG lock."""
RESTORE_SECS = 5.0
"""Seconds that a reader waits until the worker has put a removed configuration back. An idle one needs two seconds."""


def read_config(segment: Segment) -> SessionConfig:
    """Read a session's configuration; an empty one before the first write. The worker itself calls `find_config`.

    Raises
    ------
    ResourceError
        If both copies have been removed, and no worker puts one back.
    """
    deadline = time.monotonic() + RESTORE_SECS
    attempt = 0
    while (found := find_config(segment)) is None:
        if time.monotonic() > deadline:
            raise _removed(segment)
        time.sleep(pause_length(attempt))
        attempt += 1
    return found


def find_config(segment: Segment) -> SessionConfig | None:
    """Read a session's configuration; an empty one before the first write. None: both copies have been removed."""
    revision = segment.ring.words[Header.CONFIG_REVISION]
    found = read_config_in(segment.runtime_directory, segment.spool_directory)
    return None if revision and not found.revision else found


def is_config_gone(segment: Segment) -> bool:
    """Say whether both copies of the configuration have been removed."""
    places = (segment.runtime_directory, segment.spool_directory)
    return not any(os.path.exists(os.path.join(place, CONFIG_NAME)) for place in places)


def restore_config(segment: Segment, config: SessionConfig) -> bool:
    """Put the configuration that the worker has applied into the runtime directory if both copies have been removed.

    Only the worker calls this. False: it was there, or another process is editing it.

    Raises
    ------
    ResourceError, SharedMemoryError, OSError
        If it cannot be written.
    """
    if not is_config_gone(segment):
        return False
    with no_forks(), FileIO(segment.open(), "r+") as file:
        # Under the lock, because a process may be replacing the configuration by a newer one.
        if not leases.try_lock(close_in_children(file), Lock.CONFIG) or find_config(segment) is not None:
            return False
        directories.replace_file(segment.runtime_directory, CONFIG_NAME, config.to_json())
    return True


def _removed(segment: Segment) -> ResourceError:
    return ResourceError(
        f"the session's directories {segment.runtime_directory} and {segment.spool_directory} have been removed while "
        "it runs, and its collector has not put its configuration back. Remove no directory of a running session."
    )


def read_config_in(*places: str) -> SessionConfig:
    """Read the configuration file in the first of these directories that has one."""
    for directory in places:
        try:
            with open(os.path.join(directory, CONFIG_NAME), "rb") as file:
                return SessionConfig.from_json(file.read())
        except FileNotFoundError:
            continue
    return SessionConfig()


def write_config(segment: Segment, config: SessionConfig) -> None:
    """Replace a session's configuration file in both directories. The caller holds the CONFIG lock."""
    text = config.to_json()
    for directory in (segment.spool_directory, segment.runtime_directory):
        directories.replace_file(directory, CONFIG_NAME, text)


class ConfigEditor:
    """Changes a session's configuration on behalf of one process. A forked child makes its own."""

    def __init__(self, segment: Segment, ringer: Ringer) -> None:
        self._segment = segment
        self._ringer = ringer
        self._editing_thread: int | None = None

    def is_editing(self) -> bool:
        """Say whether the calling thread is in the middle of an edit. A destructor must not begin another."""
        return self._editing_thread == threading.get_ident()

    def edit(self, change: Callable[[SessionConfig], SessionConfig]) -> int:
        """Replace the configuration by the result of `change`, wake the collector, and return the new revision.

        Raises
        ------
        SessionError
            If another process holds the lock for `LOCK_TIMEOUT_SECS`.
        ResourceError
            If the file cannot be written, or has been removed and is not put back.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_SECS
        attempt = 0
        words = self._segment.ring.words
        while True:
            with (
                as_resource_error("the session's configuration cannot be changed"),
                no_forks(),
                FileIO(self._segment.open(), "r+") as file,
            ):
                is_locked = leases.try_lock(close_in_children(file), Lock.CONFIG)
                # The worker needs the lock to put a removed configuration back.
                present = find_config(self._segment) if is_locked else None
                if present is not None:
                    self._editing_thread = threading.get_ident()
                    try:
                        config = change(present)
                        revision = words[Header.CONFIG_REVISION] + 1
                        write_config(self._segment, replace(config, revision=revision))
                        words[Header.CONFIG_REVISION] = revision
                    finally:
                        self._editing_thread = None
                    break
            if time.monotonic() > deadline and is_locked:
                raise _removed(self._segment)
            if time.monotonic() > deadline:
                raise SessionError(
                    "another process of the session has held the configuration lock for "
                    f"{LOCK_TIMEOUT_SECS} s; is it stopped (SIGSTOP)?"
                )
            time.sleep(pause_length(attempt))
            attempt += 1
        self._ringer.ring()
        return revision
