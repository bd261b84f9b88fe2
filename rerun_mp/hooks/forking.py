"""Forks and imports: a fork waits for the imports of other threads, and loads what logging needs.

A module's lock that another thread holds during a fork stays locked in the child for ever, because that thread does not
exist there. Programs that import everything at their start never meet this. But rerun_mp loads rerun late, and numpy
loads parts of itself late. So a fork waits until no other thread imports, and holds the interpreter's import lock until
it is done. The wait is bounded: an import that never returns (a server run by importing it) must not stop forks.

`import rerun_mp` loads none of the modules that logging needs. The first fork loads them, so that no child needs to.
Loading takes half a second; some pools start a child for each task. Each fork also collects the young garbage.
Otherwise the collection may fall into a child's first call, where it copies hundreds of pages.

Imports no module of the package.
"""

from __future__ import annotations

import _imp
import contextlib
import gc
import importlib._bootstrap as bootstrap
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module

__all__ = ["load_before_forks", "wait_for_imports_before_forks"]

IMPORT_WAIT_SECS = 2.0
"""Maximum seconds that a fork waits for the imports of other threads."""

_is_registered = False
"""Whether the fork hooks are registered. Forked children inherit the hooks and this value."""
_prepare: Callable[[], object] | None = None
"""What to call before the next fork. A forked child inherits None."""
_needed: tuple[str, ...] = ()
"""Modules to load before the next fork. Forked children have them already."""


def wait_for_imports_before_forks() -> None:
    """Register the hooks, once.

    Hooks before a fork run in the reverse order of their registration. The hooks of `shm.transient` must be registered
    first, because an importing thread may claim slots, and a thread that claims slots never imports.
    """
    global _is_registered
    if not _is_registered:
        _is_registered = True
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def load_before_forks(*modules: str, prepare: Callable[[], object]) -> None:
    """Load these modules right before the next fork of this process, and then call `prepare` once."""
    global _needed, _prepare
    if not _needed:
        # This hook runs before the one above, so no lock is held while modules are loaded.
        os.register_at_fork(before=_before_fork_unlocked)
        _prepare = prepare
    _needed = modules


def _before_fork_unlocked() -> None:
    global _prepare
    _load()
    prepare, _prepare = _prepare, None
    if prepare is not None:
        prepare()
    if gc.isenabled():
        _collect_young_garbage()


def _collect_young_garbage() -> None:
    """Collect what a forked child would soon collect, by copying the pages of all young objects.

    Nothing if few objects are new: each collection counts towards one of older objects, and would bring that on in
    every child of a process that forks often and allocates little.
    """
    threshold, older_threshold, _ = gc.get_threshold()
    count, older_count, _ = gc.get_count()
    if threshold and count * 4 >= threshold:
        gc.collect(1 if older_count >= older_threshold else 0)


def _load() -> None:
    # If a signal handler forks while this thread loads one of them, that one is in `sys.modules` already.
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

    # Hooks that modules (such as logging) register now run after this fork, so their `before` hooks must run, too.
    os.register_at_fork = register_and_remember  # type: ignore[assignment]
    try:
        for name in missing:
            import_module(name)
    finally:
        os.register_at_fork = register
        for hook in reversed(late):
            hook()


def _before_fork() -> None:
    deadline = time.monotonic() + IMPORT_WAIT_SECS
    while True:
        # A thread that begins an import needs this lock to find or make the module's lock.
        _imp.acquire_lock()
        if not _is_another_importing() or time.monotonic() >= deadline:
            return
        _imp.release_lock()
        time.sleep(0.0005)


def _after_fork() -> None:
    # In a child, some versions of the interpreter release this lock themselves.
    with contextlib.suppress(RuntimeError):
        _imp.release_lock()


def _is_another_importing() -> bool:
    # A module's lock exists while a thread uses it. A lock without an owner is about to be taken, or just released.
    own = threading.get_ident()
    for reference in list(bootstrap._module_locks.values()):  # type: ignore[attr-defined]
        lock = reference()
        if lock is not None and lock.owner != own:
            return True
    return False
