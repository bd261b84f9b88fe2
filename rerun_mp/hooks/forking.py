"""A fork waits for imports: a child forked while another thread imports a module would wait for ever for its lock.

The thread that holds the lock does not exist in the child. Programs that import everything at their start never meet
this, but rerun_mp loads rerun when it is first needed, and numpy parts of itself. So a fork waits until no other thread
is importing, and no thread begins to before the fork is made: the interpreter's import lock is held until then.

The wait is bounded: an import that never returns (a server run by importing it) must not stop forks.

And a fork does what its children would do each for itself: what logging needs is loaded before the first one. `import
rerun_mp` loads none of it, and a pool whose workers live for one task each would spend half a second a task on it.

Imports nothing of the package.
"""

from __future__ import annotations

import _imp
import contextlib
import importlib._bootstrap as bootstrap
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module

__all__ = ["load_before_forks", "wait_for_imports_before_forks"]

PATIENCE = 2.0
"""Seconds that a fork waits for other threads' imports at most."""

_is_registered = False
"""The hooks are inherited by forked children, and so is this."""
_needed: tuple[str, ...] = ()
"""Modules to load before the next fork. A forked child has them, and need not look."""


def wait_for_imports_before_forks() -> None:
    """Register the hooks, once.

    Hooks before a fork run in the reverse order of their registration: those of `shm.transient` must be registered
    first, because a thread that imports may claim slots, and never the other way round.
    """
    global _is_registered
    if not _is_registered:
        _is_registered = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def load_before_forks(*modules: str) -> None:
    """Load these modules before the next fork of this process, unless it never forks."""
    global _needed
    if not _needed:
        # Runs before the hook above, which is registered before: nothing is held while modules are loaded.
        os.register_at_fork(before=_load)
    _needed = modules


def _load() -> None:
    # One that is being loaded by this very thread, in which a signal handler forks, is there in part.
    missing = [name for name in _needed if name not in sys.modules]
    if not missing:
        return
    late: list[Callable[..., object]] = []
    register = os.register_at_fork

    def register_and_remember(*, before: Callable[..., object] | None = None, **after: Callable[..., object]) -> None:
        if before is not None:
            late.append(before)
            register(before=before, **after)
        else:
            register(**after)

    # Modules that register hooks now (logging does) hear of this fork's end, so they must hear of its beginning too.
    os.register_at_fork = register_and_remember  # type: ignore[assignment]
    try:
        for name in missing:
            import_module(name)
    finally:
        os.register_at_fork = register
        for hook in reversed(late):
            hook()


def _before_fork() -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        # Who begins to import a module needs this lock to find or make the module's own.
        _imp.acquire_lock()
        if not _is_another_importing() or time.monotonic() >= deadline:
            return
        _imp.release_lock()
        time.sleep(0.0005)


def _after_fork() -> None:
    # The interpreter has its own care of this lock in a child, which differs between versions.
    with contextlib.suppress(RuntimeError):
        _imp.release_lock()


def _is_another_importing() -> bool:
    # A module's lock exists as long as somebody uses it; one without an owner is about to be taken, or just let go.
    own = threading.get_ident()
    for reference in list(bootstrap._module_locks.values()):  # type: ignore[attr-defined]
        lock = reference()
        if lock is not None and lock.owner != own:
            return True
    return False
