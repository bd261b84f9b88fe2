"""Views of shared memory that raise in place of a chosen store, as if the process died there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rerun_mp.shm import segment
from rerun_mp.shm.segment import Segment

__all__ = ["DiedError", "Life", "MortalView", "attach"]


class DiedError(BaseException):
    """The end of a process. No code may catch it, and handlers that run on the way out store nothing."""


class Life:
    """Counts a process's stores, and how many are left until it dies."""

    def __init__(self) -> None:
        self.left: int | None = None
        """Stores until the process dies. None: no limit."""
        self.stores = 0
        self.before_store: Callable[[], None] | None = None
        """Called before each store, unless it is None."""

    def spend(self) -> None:
        """Count a store before it is made.

        Raises
        ------
        DiedError
            If no store is left.
        """
        if self.left is not None:
            if self.left <= 0:
                raise DiedError
            self.left -= 1
        self.stores += 1


class MortalView:
    """The part of a memoryview that producers and collector use. Each store is counted by a `Life`."""

    def __init__(self, view: memoryview, life: Life) -> None:
        self._view, self._life = view, life

    def __getitem__(self, index: Any) -> Any:
        found = self._view[index]
        return MortalView(found, self._life) if isinstance(found, memoryview) else found

    def __setitem__(self, index: Any, value: Any) -> None:
        self._life.spend()
        self._view[index] = value

    def __len__(self) -> int:
        return len(self._view)

    def __bytes__(self) -> bytes:
        return bytes(self._view)

    def cast(self, code: str) -> MortalView:
        """Return the same bytes as items of another format."""
        return MortalView(self._view.cast(code), self._life)  # type: ignore[call-overload]

    def release(self) -> None:
        """Let nobody use this view any more."""
        self._view.release()

    def tolist(self) -> list[int]:
        """Return all items."""
        return self._view.tolist()


def attach(path: str, life: Life, *, with_bytes: bool) -> Segment:
    """Attach to the segment at `path` as a process whose stores `life` counts.

    Without `with_bytes` only stores to words and states count. That suffices for a collector: it stores nothing else,
    and it passes the bytes to numpy.
    """
    joined = segment.attach(path, participate=False)
    assert joined is not None
    ring: Any = joined.ring
    ring.words = MortalView(ring.words, life)
    ring.states = MortalView(ring.states, life)
    if with_bytes:
        ring.memory = MortalView(ring.memory, life)
    return joined
