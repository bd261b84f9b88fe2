"""Views of shared memory that let their user store so many times more, and then let it die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rerun_mp.shm import segment
from rerun_mp.shm.segment import Segment

__all__ = ["DiedError", "Life", "MortalView", "attach"]


class DiedError(BaseException):
    """The end of a process. It is nobody's to catch, and whatever runs on the way out stores nothing any more."""


class Life:
    """How many more stores a process makes. None: any number."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.stores = 0
        self.before_store: Callable[[], None] | None = None
        """Called before each store, if somebody wants to know."""

    def spend(self) -> None:
        """Take note of a store that is about to be made.

        Raises
        ------
        DiedError
            Instead of it.
        """
        if self.left is not None:
            if self.left <= 0:
                raise DiedError
            self.left -= 1
        self.stores += 1


class MortalView:
    """A memoryview, as far as producers and collector use it, whose stores are spent from a life."""

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
        """Return the same bytes as other words."""
        return MortalView(self._view.cast(code), self._life)  # type: ignore[call-overload]

    def tolist(self) -> list[int]:
        """Return all of them."""
        return self._view.tolist()


def attach(path: str, life: Life, *, with_bytes: bool) -> Segment:
    """Attach to the segment at `path` as a process with such a life.

    Without `with_bytes` only words and states are mortal: the collector stores nothing else, and gives the bytes to
    numpy.
    """
    joined = segment.attach(path, participate=False)
    assert joined is not None
    ring: Any = joined.ring
    ring.words = MortalView(ring.words, life)
    ring.states = MortalView(ring.states, life)
    if with_bytes:
        ring.memory = MortalView(ring.memory, life)
    return joined
