"""Freeing slots: a slot whose rows are stored goes back to the producers, with the parts of its chain.

Only the worker frees. A slot is freed after its owner has sealed or abandoned it, or after the kernel has freed the
lease of its dead owner. Each step can be repeated: the next collector frees the slots that a dead one has left. Used by
the worker's main thread only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from rerun_mp.collector.drain.progress import Progress
from rerun_mp.collector.drain.slots import SlotReader
from rerun_mp.errors import CorruptionError
from rerun_mp.shm.layout import Attention, Header, Kind, Line, SlotState
from rerun_mp.shm.ring import Ring

__all__ = ["SlotFreer"]

_NOTHING: Mapping[int, int] = MappingProxyType({})


class SlotFreer:
    """Frees the slots of one ring, and publishes how many are free."""

    def __init__(self, ring: Ring, reader: SlotReader, progress: Progress) -> None:
        self._ring = ring
        self._words = ring.words
        self._geometry = ring.geometry
        self._reader = reader
        self._progress = progress
        self.is_under_pressure = False
        """Whether less than a quarter of the usable slots is free, and more than half of them are held open."""

    def free_done(self) -> None:
        """Free every slot that its owner has let go of and whose rows are stored, and publish the counts."""
        progress = self._progress
        if self._words[Header.SWEEP_DONE] != progress.done:
            self._words[Header.SWEEP_DONE] = progress.done
        snapshot = progress.control.copy()
        self._ring.order_loads()  # a slot that is SEALED in the snapshot has its last count from here on
        states = snapshot[:, Line.STATE] & np.uint64(0xFF)
        counts = snapshot[:, Line.COUNT]
        is_done = (states == SlotState.ABANDONED) | (counts == 0) | (progress.stored(snapshot) >= counts)
        let_go = (states == SlotState.SEALED) | (states == SlotState.ABANDONED)
        for slot in np.flatnonzero(let_go & is_done).tolist():
            # The snapshot's count may be older than its state. The count of a sealed slot is final: read it now.
            if slot not in progress.ahead and self._has_no_more(slot):
                self._free_with_parts(slot)
        for slot, epoch in list(progress.damaged.items()):
            if snapshot[slot, Line.EPOCH] != epoch:
                progress.forget(slot)
            elif let_go[slot] and slot not in progress.ahead and progress.is_given_up(slot, epoch):
                # The count of a damaged slot may have any value, so it is not compared.
                self._free_with_parts(slot)
        free, held, usable = self._census()
        self._words[Header.FREE_SLOTS], self._words[Header.USABLE_SLOTS] = free, usable
        # If slots only wait for the collector, sealing more of them half empty would make the queue longer.
        was_under_pressure = self.is_under_pressure
        self.is_under_pressure = free * 4 < usable < held * 2
        if self.is_under_pressure != was_under_pressure:
            self._words[Header.ATTENTION] = self.attention()

    def attention(self) -> int:
        """Return the bits of `Attention` that ask producers to seal, and to look for a pause."""
        paused = Attention.PAUSED if self._words[Header.PAUSED] else 0
        return paused | (Attention.PRESSURE if self.is_under_pressure else 0)

    def fill(self) -> float:
        """Return the share of the usable slots that is in use, from 0 to 1."""
        free, _, usable = self._census()
        return 1.0 - free / usable if usable else 1.0

    def is_half_full(self, taken: Mapping[int, int] = _NOTHING) -> bool:
        """Return whether less than half of the usable slots is free now.

        `taken` (slot -> how far it is taken) is a sweep in flight: its slots count as free if that sweep frees them.
        """
        free, _, usable = self._census()
        sealed = [slot for slot in taken if self._ring.states[slot] & 0xFF == SlotState.SEALED]
        free += sum(taken[slot] >= self._words[self._ring.count_word(slot)] for slot in sealed)
        return free * 2 < usable

    def seal_dead(self, owner: int) -> None:
        """Seal or free the slots of a producer (`layout.pack_owner`) whose lease is free: no process writes to them."""
        slots = self._ring.owner_slots(owner)
        states = {slot: self._ring.states[slot] for slot in slots}
        kinds = {slot: self._words[self._geometry.line_word(slot) + Line.KIND] for slot in slots}
        referenced: set[int] = set()
        for slot in slots:
            if kinds[slot] == Kind.HEAD and self._words[self._ring.count_word(slot)]:
                with contextlib.suppress(CorruptionError):
                    referenced.update(part for part, _ in self._reader.chain_parts(slot))
        for slot in slots:
            state = states[slot] & 0xFF
            if (
                state not in (SlotState.OPEN, SlotState.SEALED, SlotState.ABANDONED)
                and slot not in self._progress.ahead
            ):
                # The state is none that a slot can have, and no process writes to it: its rows are lost.
                self._ring.count_up(Header.DAMAGED_SLOTS, 1)
                self._free(slot)
            if state != SlotState.OPEN:
                continue
            if kinds[slot] == Kind.PART:
                if slot not in referenced:
                    self._free(slot)
            else:
                self._ring.seal_dead(slot, states[slot])

    def _census(self) -> tuple[int, int, int]:
        """Return how many slots are free, held open by a producer, and usable."""
        control = self._progress.control
        states = control[:, Line.STATE] & np.uint64(0xFF)
        free = int(np.count_nonzero(states <= SlotState.FREE))
        held = int(np.count_nonzero((states == SlotState.OPEN) & (control[:, Line.KIND] != Kind.PART)))
        return free, held, self._geometry.slots - int(np.count_nonzero(states == SlotState.UNUSABLE))

    def _has_no_more(self, slot: int) -> bool:
        """Return whether all rows of a slot that its owner has let go of are stored."""
        is_abandoned = self._ring.states[slot] & 0xFF == SlotState.ABANDONED
        return is_abandoned or self._ring.done(slot) >= self._words[self._ring.count_word(slot)]

    def _free_with_parts(self, slot: int) -> None:
        line = self._geometry.line_word(slot)
        if self._words[line + Line.KIND] == Kind.HEAD and self._words[line + Line.COUNT]:
            with contextlib.suppress(CorruptionError):
                for part, epoch in self._reader.chain_parts(slot):
                    if self._reader.is_part(part, epoch, self._words[line + Line.STATE]):
                        self._free_part(part)
        self._free(slot)

    def _free_part(self, slot: int) -> None:
        """Free a part of a chain, after marking it abandoned: its head no longer knows it once its epoch changes."""
        self._ring.states[slot] = self._ring.states[slot] & ~0xFF | SlotState.ABANDONED
        self._free(slot)

    def _free(self, slot: int) -> None:
        self._progress.forget(slot)
        self._reader.forget(slot)
        self._ring.free(slot)
