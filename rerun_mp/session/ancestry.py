"""In whose scope a process logs (`config.Scope`): which ancestor, or itself, has set sinks of its own.

A forked child inherits the answer. One that was started otherwise finds it in its environment; or, if its parent set
its sinks only after the environment was fixed (a fork server's children have the server's), by its parent's process.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerun_mp.session.config import SessionConfig

__all__ = ["ENVIRONMENT_VARIABLE", "export", "inherited_scope", "this_process"]

ENVIRONMENT_VARIABLE = "RERUN_MP_SCOPE"


def this_process() -> tuple[int, int]:
    """Return the process id and what tells this process from others that get the same one."""
    return _process(os.getpid())


def export(token: int) -> None:
    """Have the processes that are started from now on log in a scope."""
    os.environ[ENVIRONMENT_VARIABLE] = f"{token:x}"


def inherited_scope(config: SessionConfig) -> int:
    """Return the token of the scope in which this process was started; 0 for none."""
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
    """Return who may have started this process: its parent, and whom multiprocessing calls so."""
    process = sys.modules.get("multiprocessing.process")
    parent = process.parent_process() if process is not None else None
    return [os.getppid(), *([parent.pid] if parent is not None else [])]


def _process(pid: int) -> tuple[int, int]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return pid, int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return pid, 0
