"""Descriptors that hold a lock for some microseconds, and that a forked child must not inherit.

A child forked during a claim would keep the claim's open file description, and with it the slot's lock, for its whole
life. So a fork waits (os.register_at_fork) until no other thread has such a descriptor open. A fork by the same thread,
from a signal handler in the middle of a claim, cannot wait for itself. In that case the child closes the descriptors.

An exception may end a claim anywhere, even at its first or last step, because a KeyboardInterrupt comes after any call.
So `with` statements release everything, over objects made in C, whose exits no exception interrupts::

    with no_forks(), FileIO(segment.open(), "r+") as file:
        descriptor = close_in_children(file)

Forks made in C do not run these hooks. Claims pass over a slot that such a child keeps locked, until the child ends.
"""

from __future__ import annotations

import os
import sys
import threading
from io import FileIO

__all__ = ["close_in_children", "no_forks", "releases_in_children"]

_mutex = threading.RLock()
"""Held while a descriptor of `_open` is open, and across every fork. A forked child gets a new, free one."""
_open: set[FileIO] = set()
"""Files to close in a forked child; some may be closed already. The child gets a new set."""
_views: list[memoryview] = []
"""Views that a forked child releases. In a forked child: another list."""
_forking: list[threading.RLock] = []
"""The mutex of each fork in progress; several if a signal handler forks in the middle of a fork."""


def no_forks() -> threading.RLock:
    """Return the mutex that forks by other threads wait for.

    While the interpreter finalises, no other thread runs, and a thread frozen in the middle of a claim may hold the
    mutex for ever. Then the caller gets a new, free one.
    """
    return threading.RLock() if sys.is_finalizing() else _mutex


def close_in_children(file: FileIO) -> int:
    """Close an open file in every child that this thread forks. Returns the file's descriptor."""
    # Ask for the number first: in a child forked after the next line, the file is closed and does not know it.
    descriptor = file.fileno()
    _open.add(file)
    if len(_open) > 1:
        _open.difference_update([other for other in tuple(_open) if other.closed])
    return descriptor


class releases_in_children:  # noqa: N801 (as contextlib names its classes)
    """Gives a view of the same memory, which a child forked meanwhile releases: the child stores nothing through it."""

    # No generator: a forked child would copy the pages of contextlib's functions.
    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view[:]

    def __enter__(self) -> memoryview:
        _views.append(self._view)
        return self._view

    def __exit__(self, *_: object) -> None:
        for number, other in enumerate(_views):
            if other is self._view:
                del _views[number]
                return


def _before_fork() -> None:
    # In this order: an exception after the first step makes the last hook fail; after the second it changes nothing.
    _forking.append(_mutex)
    _mutex.acquire()


def _after_fork_in_parent() -> None:
    _forking.pop().release()


def _after_fork_in_child() -> None:
    global _mutex, _open, _views
    _forking.pop()
    inherited, _open = _open, set()
    views, _views = _views, []
    _mutex = threading.RLock()
    for file in inherited:
        file.close()
    for view in views:
        view.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
