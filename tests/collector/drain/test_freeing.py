"""Freeing slots: a collector may die before any of its stores, and a snapshot of the control lines may be torn."""

from __future__ import annotations

from collections.abc import Callable
from io import FileIO
from typing import Any

import numpy as np
import pytest

from rerun_mp.collector.drain.frame_chunks import build_chunks
from rerun_mp.collector.drain.sweep import Sweeper
from rerun_mp.shm.layout import Header, Kind, Line, SlotState, pack_owner
from rerun_mp.shm.segment import ClaimLocks, Segment
from rerun_mp.shm.writer import SlotWriter
from tests.collector.drain.rows import SLOTS, log, states
from tests.shm.bench_ring import claim_one


def sweeper_after_a_chain(made: Segment) -> Sweeper:
    """Log a message that lies in a chain, and return the sweeper of a collector that has stored and not freed it."""
    log(made, 500)
    sweeper = Sweeper(made)
    sweep = sweeper.collect()
    assert sweep is not None
    built = build_chunks(sweep.taken, nonce=made.nonce)
    sweeper.begin(sweep)
    sweeper.complete(sweep, built)
    return sweeper


def test_a_part_that_has_a_new_owner_is_not_freed_with_its_old_chain(made: Segment) -> None:
    """Hazard 9: a collector died after freeing a part and before freeing its head; the part was claimed again."""
    sweeper_after_a_chain(made)
    kinds = [made.ring.words[made.ring.geometry.line_word(slot) + Line.KIND] for slot in range(SLOTS)]
    part = kinds.index(Kind.PART)
    made.ring.free(part)
    writer = SlotWriter(made.ring, pack_owner(3, 9), memoryview(b"\x01"), 0)
    with FileIO(made.open(), "r+") as file:
        locks = ClaimLocks(made, file.fileno())
        assert claim_one(writer, Kind.PART, part, locks.lock, locks.reserve) == part

    Sweeper(made).freer.free_done()
    assert made.ring.states[part] == writer.owner | SlotState.OPEN
    assert states(made).count(SlotState.FREE) == 2


def test_a_sweep_in_flight_counts_the_slots_that_it_frees(made: Segment) -> None:
    """It frees those that their owners have sealed, if it has taken all their rows."""
    for _ in range(4):
        log(made, 1)
    for slot in range(7, SLOTS):
        made.ring.states[slot] = SlotState.UNUSABLE
    sweeper = Sweeper(made)
    sweep = sweeper.collect()
    assert sweep is not None
    taken = {0: sweep.stops[0]}
    assert sweeper.freer.is_half_full()
    assert not sweeper.freer.is_half_full(taken)
    assert sweeper.freer.is_half_full({0: taken[0] - 1})
    made.ring.states[0] = made.ring.states[0] & ~0xFF | SlotState.OPEN
    assert sweeper.freer.is_half_full(taken)


class DiedError(Exception):
    """Stands for the death of the collector before one of its stores."""


class StoresLeft:
    """Words that count down the stores left in a shared `budget`, and raise `DiedError` at zero."""

    def __init__(self, words: memoryview, budget: list[int]) -> None:
        self._words, self._budget = words, budget

    def __getitem__(self, index: Any) -> Any:
        return self._words[index]

    def __setitem__(self, index: int, value: int) -> None:
        if not self._budget[0]:
            raise DiedError
        self._budget[0] -= 1
        self._words[index] = value

    def tolist(self) -> list[int]:
        """Return all of them."""
        return self._words.tolist()


def test_a_collector_that_dies_before_any_store_of_freeing_a_chain_leaves_no_slot_behind(made: Segment) -> None:
    """Hazard 9: a head no longer knows a part whose epoch has changed, so the part must be free or abandoned."""
    words, control = made.ring.words, made.ring.states
    deaths = 0
    for stores in range(1000):
        dead = sweeper_after_a_chain(made)
        budget = [stores]
        made.ring.words, made.ring.states = StoresLeft(words, budget), StoresLeft(control, budget)  # type: ignore[assignment]
        try:
            dead.freer.free_done()
        except DiedError:
            deaths += 1
        finally:
            made.ring.words, made.ring.states = words, control
        Sweeper(made).freer.free_done()
        assert set(states(made)) <= {SlotState.FREE, SlotState.UNTOUCHED}
        words[made.ring.geometry.producer_word(0)] &= ~0xFF  # the producer has ended, and all of it is delivered
        if deaths <= stores:
            break
    assert deaths > 3 * 6


class TornControl(np.ndarray[Any, Any]):
    """A control table whose snapshot takes time: its owner may store between any two words of a line."""

    words: list[int]
    """Words of a line in the order in which the snapshot reads them."""
    stores: list[Callable[[], None]]
    """Calls made before each word is read, and after the last."""

    def copy(self, order: Any = "C") -> Any:  # noqa: ARG002 (as numpy has it)
        """Return a snapshot that was taken word by word."""
        snapshot = np.zeros(self.shape, np.uint64)
        for word, store in zip(self.words, self.stores, strict=False):
            store()
            snapshot[:, word] = self[:, word]
        self.stores[-1]()
        return snapshot


@pytest.mark.parametrize(("commit_at", "seal_at"), [(c, s) for s in range(9) for c in range(s + 1)])
@pytest.mark.parametrize("words", [range(8), range(7, -1, -1)], ids=["upwards", "downwards"])
def test_no_snapshot_frees_a_slot_that_has_more(words: range, commit_at: int, seal_at: int, made: Segment) -> None:
    """Hazard 10: the owner commits and seals while the table is copied, in whatever order its words are read."""
    writer = SlotWriter(made.ring, pack_owner(1, 1), memoryview(b"\x01"), 0)
    with FileIO(made.open(), "r+") as file:
        locks = ClaimLocks(made, file.fileno())
        slot = claim_one(writer, Kind.TABLE, 0, locks.lock, locks.reserve)
    assert slot is not None
    writer.commit(slot, 1)
    made.ring.take(slot, 1, 1)
    made.ring.words[Header.SWEEP_DONE] = 1
    sweeper = Sweeper(made)
    control = sweeper.progress.control.view(TornControl)
    steps: list[list[Callable[[], None]]] = [[] for _ in range(9)]
    steps[commit_at].append(lambda: writer.commit(slot, 2))
    steps[seal_at].append(lambda: writer.seal(slot))
    control.words = list(words)
    control.stores = [_all_of(step) for step in steps]
    sweeper.progress.control = control

    sweeper.freer.free_done()
    assert states(made)[slot] == SlotState.SEALED, "its second row is lost"
    control.stores = [_all_of([])] * 9
    assert sweeper.has_news()
    made.ring.take(slot, 2, 2)
    made.ring.words[Header.SWEEP_DONE] = 2
    Sweeper(made).freer.free_done()
    assert states(made)[slot] == SlotState.FREE


def _all_of(calls: list[Callable[[], None]]) -> Callable[[], None]:
    def call() -> None:
        for each in calls:
            each()

    return call
