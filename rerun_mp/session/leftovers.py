"""Finds leftover sessions: all processes of their trees were killed, the collectors included.

Only sessions with directories where this process would put its own, and that exist: a container may share /dev/shm with
other containers, but not their files.

A founder calls `recover_in_background`, which reads some names and locks; what it starts is `python -m rerun_mp
recover`. Nothing here changes a session. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.errors import RerunMpError
from rerun_mp.hooks.detached import start_detached
from rerun_mp.session import directories
from rerun_mp.session.collector_start import collector_environment, output_to
from rerun_mp.session.config_file import read_config_in
from rerun_mp.shm.survey import survey

if TYPE_CHECKING:
    from rerun_mp.session.config import RecordingSpec

__all__ = ["LeftoverSession", "find_leftovers", "recover_in_background"]

_has_searched = False
"""Whether this process, or one that forked it, has searched for leftover sessions: once is enough."""


class LeftoverSession(NamedTuple):
    """A session without a living process."""

    name: str
    """Name of its directories: the beginning of its nonce."""
    segment_path: str | None
    """None: the segment is gone, and only files remain."""
    runtime_directory: str
    spool_directory: str


def find_leftovers() -> tuple[list[LeftoverSession], list[str]]:
    """Return the leftover sessions, and for each segment that cannot be read, of whatever user, the reason."""
    spool_base, runtime_base = directories.spool_base(), directories.runtime_base()
    # Directories first: a session makes them after its segment and removes them before it.
    names = {*_names_in(spool_base), *_names_in(runtime_base)}
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
    without_segment = names - {one.nonce.hex()[:16] for one in found}
    for name in sorted(without_segment):
        runtime, spool = os.path.join(runtime_base, name), os.path.join(spool_base, name)
        if _is_free(spool) and (os.path.isdir(spool) or os.path.isdir(runtime)):
            leftovers.append(LeftoverSession(name, None, runtime, spool))
    return leftovers, problems


def _names_in(base: str) -> list[str]:
    try:
        return [name for name in os.listdir(base) if len(name) == 16 and set(name) <= set("0123456789abcdef")]
    except OSError:
        return []


def _is_free(spool: str) -> bool:
    """Say whether no worker holds the spool directory, or it does not exist."""
    try:
        lease = directories.hold(spool)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if lease is None:
        return False
    os.close(lease)
    return True


def recover_in_background() -> None:
    """Start a recovery of leftover sessions, if there are any, and say so in one line. Never waits, never raises."""
    global _has_searched
    if _has_searched:
        return
    _has_searched = True
    with contextlib.suppress(OSError, RerunMpError):
        found, _ = find_leftovers()
        if found:
            command = [sys.executable, "-P", "-m", "rerun_mp", "recover", "--quiet"]
            start_detached(command, collector_environment(), output_to(os.devnull))
            sys.stderr.write(f"rerun_mp: recovering what a killed program left, {_destinations(found)}\n")


def _destinations(found: list[LeftoverSession]) -> str:
    """Name the files that will receive the rows, as far as the configurations name them."""
    targets: list[str] = []
    has_others = False
    for one in found:
        recordings: tuple[RecordingSpec, ...] = ()
        with contextlib.suppress(OSError, RerunMpError):
            recordings = read_config_in(one.runtime_directory).recordings
        for spec in recordings:
            files = [sink.target for sink in spec.sinks if sink.kind == "file"]
            targets += files
            has_others = has_others or not files
        has_others = has_others or not recordings
    parts = [f"into {', '.join(dict.fromkeys(targets))}"] if targets else []
    if has_others:
        parts.append(f"what has no file into {directories.rescue_base()}")
    return ", ".join(parts)
