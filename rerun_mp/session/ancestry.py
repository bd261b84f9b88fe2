"""Finds the scope that a process logs in (`config.Scope`): that of the nearest ancestor, or itself, with own sinks.

A forked child inherits the answer. A child started otherwise reads its environment. If its parent set sinks after that
environment was fixed (children of a fork server have the server's), it finds the scope by its parent's process.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerun_mp.session.config import SessionConfig

__all__ = ["ENVIRONMENT_VARIABLE", "export", "inherited_scope", "this_process"]

ENVIRONMENT_VARIABLE = "RERUN_MP_SCOPE"
"""Holds the token of a scope, in hexadecimal digits, for processes that are started from it."""


def this_process() -> tuple[int, int]:
    """Return this process's id and start time, which distinguish it from earlier and later processes with that id."""
    return _process(os.getpid())


def export(token: int) -> None:
    """Put the processes that are started from now on into a scope."""
    os.environ[ENVIRONMENT_VARIABLE] = f"{token:x}"


def inherited_scope(config: SessionConfig) -> int:
    """Return the token of the scope that this process was started in; 0 for none."""
    if not config.scopes:
        return 0
    for pid in _parents():
        found = config.scope_of(_process(pid))
        if found is not None:
            return found
    try:
        token = int(os.environ.get(ENVIRONMENT_VARIABLE, "0"), 16)
    except ValueError:
        return 0
    return token if config.around(token) else 0


def _parents() -> list[int]:
    """Return the ids of the processes that may have started this one: its parent, and its multiprocessing parent."""
    process = sys.modules.get("multiprocessing.process")
    parent = process.parent_process() if process is not None else None
    return [os.getppid(), *([parent.pid] if parent is not None else [])]


def _process(pid: int) -> tuple[int, int]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return pid, int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return pid, 0
