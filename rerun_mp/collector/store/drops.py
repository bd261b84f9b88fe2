"""What a store has given up, by reason and producer, so that it counts exactly in spite of repeated sweeps.

Rows are told apart by their ids: the counter half of a producer's ids begins at a random number that its account
names (`Account.first_row`) and only grows, so the nearest beginning below it says whose a row is. Nothing about it
travels with the rows, and rows that lie in a part of the spool can be assigned when the part is dropped.

A sweep that a collector died in is repeated, and its chunks are sent again: what the store had dropped *of that sweep*
is counted anew. What it dropped of earlier ones is gone and stays counted. Used in the worker's main thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from rerun_mp.session.accounts import Reason

__all__ = ["OWN_ENTITIES", "Drops", "count_by_producer", "nobody_s"]

OWN_ENTITIES = ("/__properties", "__properties", "/__rerun_mp", "__rerun_mp")
"""How the paths of entities begin whose rows the collector makes itself. They are nobody's."""
ROW_ID = "rerun.controls.RowId"

Owners = Callable[[], Iterable[int]]
"""Returns the first row ids' counters of all producers that there have been."""


class Drops:
    """What one store has given up."""

    __slots__ = ("_of_sweep", "_settled", "sweep", "version")

    def __init__(self) -> None:
        self.sweep = 0
        """The sweep that the store is getting."""
        self.version = 0
        """Grows whenever something is counted, or not any more."""
        self._settled: dict[Reason, Counter[int]] = {reason: Counter() for reason in Reason}
        self._of_sweep: dict[Reason, Counter[int]] = {reason: Counter() for reason in Reason}

    def begin(self, sweep: int) -> None:
        """Take note that the store gets a sweep from its beginning: another one, or the last one again."""
        if sweep != self.sweep:
            for reason, rows in self._of_sweep.items():
                self._settled[reason].update(rows)
        else:
            self.version += 1
        self.sweep = sweep
        self._of_sweep = {reason: Counter() for reason in Reason}

    def add(self, reason: Reason, rows: Counter[int], *, is_of_sweep: bool) -> None:
        """Count rows by producer; `is_of_sweep`: they came with the present sweep, not before."""
        self.version += 1
        (self._of_sweep if is_of_sweep else self._settled)[reason].update(rows)

    def by_reason(self) -> dict[Reason, Counter[int]]:
        """Return the rows given up, by reason and producer."""
        return {reason: self._settled[reason] + self._of_sweep[reason] for reason in Reason}

    def total(self) -> int:
        """Return all rows given up."""
        return sum(sum(rows.values()) for rows in self.by_reason().values())

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {
            "sweep": self.sweep,
            "settled": {int(reason): dict(rows) for reason, rows in self._settled.items() if rows},
            "of_sweep": {int(reason): dict(rows) for reason, rows in self._of_sweep.items() if rows},
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Drops:
        """Return what `to_json` was given.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is something else.
        """
        drops = cls()
        drops.sweep = int(raw["sweep"])
        for name, into in (("settled", drops._settled), ("of_sweep", drops._of_sweep)):
            for reason, rows in raw[name].items():
                drops.version += 1
                into[Reason(int(reason))].update({int(first): int(number) for first, number in rows.items()})
        return drops


def nobody_s() -> Iterable[int]:
    """Return no producers at all."""
    return ()


def count_by_producer(entity_path: str, batch: Any, firsts: Any) -> Counter[int]:
    """Return how many rows of a chunk are whose.

    Parameters
    ----------
    entity_path
        The chunk's.
    batch
        Its record batch, with row ids.
    firsts
        First counters of all producers, ascending, uint64. Rows that are of none of them count for 0.
    """
    if entity_path.startswith(OWN_ENTITIES):
        return Counter()
    column = batch.column(batch.schema.get_field_index(ROW_ID))
    raw = np.frombuffer(column.buffers()[1], ">u8", count=2 * len(column), offset=16 * column.offset)
    counters = raw[1::2].astype(np.uint64)
    nearest = np.searchsorted(firsts, counters, side="right")
    found: Counter[int] = Counter()
    for number, rows in enumerate(np.bincount(nearest).tolist()):
        if rows:
            found[int(firsts[number - 1]) if number else 0] += rows
    return found
