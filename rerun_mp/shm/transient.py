"""Descriptors that hold a lock for some microseconds, and must not be inherited by a fork that happens meanwhile.

A child forked while a claim is going on would keep the claim's open file description, and with it the slot's lock,
for its whole life. So a fork waits (os.register_at_fork) until no other thread has such a descriptor open. A fork by
the same thread, in a signal handler in the middle of a claim, cannot wait for itself: there the child closes them.

An exception may end a claim anywhere, also as it begins or ends: a KeyboardInterrupt comes after any call. So what must
not stay behind is let go of by `with` statements over objects made in C, on whose way out none comes::

    with no_forks(), FileIO(segment.open(), "r+") as file:
        descriptor = close_in_children(file)

Forks made in C do not run these hooks; a slot that one of them keeps locked is passed over by claims and usable again
when that child ends.
"""

from __future__ import annotations

import os
import sys
import threading
from io import FileIO

__all__ = ["close_in_children", "no_forks"]

_mutex = threading.RLock()
"""Held while any descriptor of `_open` is open, and across every fork. In a forked child: another one, that is free."""
_open: set[FileIO] = set()
"""Some may be closed already. In a forked child: another set."""
_forking: list[threading.RLock] = []
"""The locks that forks under way hold; more than one where a signal handler forks in the middle of a fork."""


def no_forks() -> threading.RLock:
    """Return the mutex for which forks by other threads wait.

    While the interpreter finalises no other thread runs, and one that was frozen in the middle of a claim has the mutex
    for ever: then another one, that is free.
    """
    return threading.RLock() if sys.is_finalizing() else _mutex


def close_in_children(file: FileIO) -> int:
    """Have an open file closed in a child forked by this very thread, until it is closed. Returns its descriptor."""
    # The number first: in a child that is forked from here on, the file is closed and no longer says it.
    descriptor = file.fileno()
    _open.add(file)
    _open.difference_update([other for other in tuple(_open) if other.closed])
    return descriptor


def _before_fork() -> None:
    # In this order: an exception after the first step lets the last hook fail, after the second it changes nothing.
    _forking.append(_mutex)
    _mutex.acquire()


def _after_fork_in_parent() -> None:
    _forking.pop().release()


def _after_fork_in_child() -> None:
    global _mutex, _open
    _forking.pop()
    inherited, _open = _open, set()
    _mutex = threading.RLock()
    for file in inherited:
        file.close()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
