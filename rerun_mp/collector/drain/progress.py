"""How far the collector has drained each slot, and which slots it cannot read.

The sweep and the freeing of slots share this state. The ring's words are for producers and for the next collector;
this object is the memory of the running one. Used by the worker's main thread only.
"""

from __future__ import annotations

from struct import Struct
from typing import Any

import numpy as np

from rerun_mp.shm.layout import LINE_WORDS, MAX_SWEEPS, TAKEN_BITS, TAKEN_MASK, Header, Line, SlotState
from rerun_mp.shm.ring import Ring

__all__ = ["Progress"]

LINE = Struct(f"<{LINE_WORDS}Q")
"""One line of the control table."""
MAX_CHANGED_LINES = 4
"""Maximum number of changed lines that are read one by one. If more have changed, numpy reads all lines at once."""


class Progress:
    """The control lines of one ring, and what this collector knows about them."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring
        geometry = ring.geometry
        count = geometry.slots * LINE_WORDS
        flat = np.frombuffer(ring.memory, dtype=np.uint64, count=count, offset=geometry.control_offset)
        self.control: Any = flat.reshape(geometry.slots, LINE_WORDS)
        """uint64 of shape (slots, words of a line), in shared memory."""
        self.done = ring.words[Header.SWEEP_DONE]
        """Number of the last sweep that is done. The collector reads it from the header once, at its start."""
        if self.done >= MAX_SWEEPS:
            # The header is damaged. Repeating what seems to be the last sweep may give rows twice, but loses none.
            words: Any = self.control[:, [Line.TAKEN_A, Line.TAKEN_B]] >> np.uint64(TAKEN_BITS)
            self.done = max(0, int(words[words < MAX_SWEEPS].max(initial=0)) - 1)
        self.ahead: dict[int, int] = {}
        """slot -> how far it is copied by a sweep that has not begun. Such a slot must not be freed."""
        self.damaged: dict[int, int] = {}
        """slot -> epoch in which the collector reads no more of it."""
        self._settled: tuple[bytes, int] | None = None
        """A content of `control` that had no new rows, and `done` at that time."""
        self._given_up: dict[int, tuple[int, int]] = {}
        """damaged slot -> (epoch, number of the sweep that has given up the rest)."""

    def moved(self, taken: dict[int, int], first: int) -> list[int]:
        """Return the slots with rows that no sweep has, in the ring's order from slot `first` on.

        `taken`: how far the sweep in flight has taken each slot.
        """
        content = self.control.tobytes()
        if self._settled is not None and self._settled[1] == self.done and not self.damaged and not taken:
            changed = _changed_lines(self._settled[0], content)
            if len(changed) <= MAX_CHANGED_LINES:
                found = [slot for slot in changed if self._has_moved(content, slot)]
                if not found:
                    self._settled = content, self.done
                return [slot for slot in found if slot >= first] + [slot for slot in found if slot < first]
        snapshot: Any = np.frombuffer(content, np.uint64).reshape(self.control.shape)
        states = snapshot[:, Line.STATE] & np.uint64(0xFF)
        live = (states == SlotState.OPEN) | (states == SlotState.SEALED)
        stored = self.stored(snapshot)
        stored[list(taken)] = list(taken.values())
        moved = np.flatnonzero(live & (snapshot[:, Line.COUNT] > stored)).tolist()
        if not moved and not taken:
            self._settled = content, self.done
        if self.damaged:
            moved = [s for s in moved if self._is_readable(s, int(snapshot[s, Line.EPOCH]), int(states[s]))]
        return [slot for slot in moved if slot >= first] + [slot for slot in moved if slot < first]

    def _has_moved(self, content: bytes, slot: int) -> bool:
        """Return whether a slot has rows that no sweep has, by a content of `control`."""
        line = LINE.unpack_from(content, slot * LINE.size)
        if line[Line.STATE] & 0xFF not in (SlotState.OPEN, SlotState.SEALED):
            return False
        return bool(line[Line.COUNT] > self._ring.done(slot, self.done))

    def stored(self, snapshot: Any) -> Any:
        """Return how far each slot is stored, by a snapshot of `control`."""
        sweep = np.uint64(self.done)
        bits, mask = np.uint64(TAKEN_BITS), np.uint64(TAKEN_MASK)
        words = snapshot[:, [Line.TAKEN_A, Line.TAKEN_B]]
        return np.where(words >> bits <= sweep, words & mask, 0).max(axis=1)

    def in_flight(self) -> list[int]:
        """Return the slots that the sweep after the last done one had taken when its collector died."""
        return [slot for slot in range(len(self.control)) if self._ring.in_flight(slot, self.done) is not None]

    def mark_damaged(self, slot: int, epoch: int) -> None:
        """Read no more of a slot in this epoch, and count the slot in the header."""
        self.damaged[slot] = epoch
        self._ring.count_up(Header.DAMAGED_SLOTS, 1)

    def is_damaged(self, slot: int, epoch: int) -> bool:
        """Return whether a slot is damaged in this epoch."""
        return self.damaged.get(slot) == epoch

    def give_up(self, slot: int, epoch: int, sweep: int) -> None:
        """Note that sweep number `sweep` takes the rest of a damaged slot as lost."""
        self._given_up[slot] = (epoch, sweep)

    def is_given_up(self, slot: int, epoch: int) -> bool:
        """Return whether a sweep that is done has given up the rest of a damaged slot."""
        given_up = self._given_up.get(slot)
        return given_up is not None and given_up[0] == epoch and given_up[1] <= self.done

    def forget(self, slot: int) -> None:
        """Forget the damage of a slot that begins another epoch."""
        self.damaged.pop(slot, None)
        self._given_up.pop(slot, None)

    def _is_readable(self, slot: int, epoch: int, state: int) -> bool:
        """Return whether a sweep can take something: from a damaged slot only its rest, once, after it is sealed."""
        if not self.is_damaged(slot, epoch):
            return True
        return state == SlotState.SEALED and self._given_up.get(slot, (None, 0))[0] != epoch


def _changed_lines(old: bytes, new: bytes) -> list[int]:
    """Return the lines that differ between two contents of one control table, ascending: the first ones, if many do.

    It halves the table again and again. Right after a sleep that takes half the time of a comparison by numpy.
    """
    found: list[int] = []
    ranges = [(0, len(new) // LINE.size)]
    while ranges and len(found) <= MAX_CHANGED_LINES:
        begin, end = ranges.pop()
        part = slice(begin * LINE.size, end * LINE.size)
        if old[part] == new[part]:
            continue
        if end == begin + 1:
            found.append(begin)
        else:
            middle = (begin + end) // 2
            ranges += [(middle, end), (begin, middle)]
    return found
