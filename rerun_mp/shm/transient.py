"""Descriptors that hold a lock for some microseconds, and must not be inherited by a fork that happens meanwhile.

A child forked while a claim is going on would keep the claim's open file description, and with it the slot's lock,
for its whole life. So a fork waits (os.register_at_fork) until no other thread has such a descriptor open. A fork by
the same thread, in a signal handler in the middle of a claim, cannot wait for itself: there the child closes them.

Forks made in C do not run these hooks; a slot that one of them keeps locked is passed over by claims and usable again
when that child ends.
"""

from __future__ import annotations

import os
import threading

__all__ = ["Transient"]

_mutex = threading.RLock()
"""Held while any descriptor of `_open` is open, and across every fork. In a forked child: another one, that is free."""
_open: set[int] = set()
"""In a forked child: closed, and another set."""
_forking: list[threading.RLock] = []
"""The locks that forks under way hold; more than one where a signal handler forks in the middle of a fork."""


class Transient:
    """A context that owns descriptors and closes them. Forks by other threads wait for its end."""

    __slots__ = ("_held", "_owned", "_set")

    def __enter__(self) -> Transient:
        self._held = _mutex
        self._held.acquire()
        self._set = _open
        self._owned: list[int] = []
        return self

    def __exit__(self, *exc: object) -> None:
        for descriptor in self._owned:
            self._set.discard(descriptor)
            # In a child that was forked from a signal handler in between, the hook below has closed it.
            if self._set is _open:
                os.close(descriptor)
        self._held.release()

    def own(self, descriptor: int) -> int:
        """Take charge of an open descriptor and return it."""
        self._set.add(descriptor)
        self._owned.append(descriptor)
        return descriptor


def _before_fork() -> None:
    _mutex.acquire()
    _forking.append(_mutex)


def _after_fork_in_parent() -> None:
    _forking.pop().release()


def _after_fork_in_child() -> None:
    global _mutex, _open
    _forking.pop()
    inherited, _open = _open, set()
    _mutex = threading.RLock()
    for descriptor in inherited:
        os.close(descriptor)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
