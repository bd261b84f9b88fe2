"""Rows that a store has given up or held back, by reason and producer, counted exactly although sweeps are repeated.

The row id identifies the producer: the counter half of a producer's row ids begins at a random number, which its
account names (`Account.first_row`), and only grows. A row belongs to the producer with the nearest beginning at or
below its counter. So the rows need no further mark, and rows in the spool can be assigned when their part is dropped.

A new collector repeats the sweep that its predecessor died in, and sends the chunks again. So it counts the rows that
the store drops *of that sweep* anew. Dropped rows of earlier sweeps do not come again, and stay counted. Used in the
worker's main thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerun_mp.session.accounts import LOSSES, Reason

__all__ = ["OWN_ENTITIES", "Drops", "KnownProducers", "count_by_producer"]

OWN_ENTITIES = ("/__properties", "__properties", "/__rerun_mp", "__rerun_mp")
"""Beginnings of the entity paths of rows that the collector logs itself. No producer counts them."""
ROW_ID = "rerun.controls.RowId"
MAX_DISTANCE = 1 << 40
"""Maximum distance of a row's counter from its producer's first one. Within it, the row belongs to that producer."""


class Drops:
    """The rows that one store has given up or held back."""

    __slots__ = ("_of_sweep", "_settled", "sweep", "version")

    def __init__(self) -> None:
        self.sweep = 0
        """Number of the sweep that the store is receiving chunks of."""
        self.version = 0
        """Grows with every change of the counts."""
        self._settled: dict[Reason, Counter[int]] = {reason: Counter() for reason in Reason}
        self._of_sweep: dict[Reason, Counter[int]] = {reason: Counter() for reason in Reason}

    def begin(self, sweep: int) -> None:
        """Note that the chunks of a sweep come: of the next sweep, or of the last one again."""
        if sweep != self.sweep:
            for reason, rows in self._of_sweep.items():
                if rows:
                    self._settled[reason].update(rows)
        else:
            self.version += 1
        self.sweep = sweep
        for rows in self._of_sweep.values():
            rows.clear()

    def add(self, reason: Reason, rows: Counter[int], *, is_of_sweep: bool) -> None:
        """Count rows by producer. `is_of_sweep`: they came with the present sweep."""
        self.version += 1
        (self._of_sweep if is_of_sweep else self._settled)[reason].update(rows)

    def by_reason(self) -> dict[Reason, Counter[int]]:
        """Return the rows given up or held back, by reason and producer."""
        return {reason: self._settled[reason] + self._of_sweep[reason] for reason in Reason}

    def of_sweep(self, sweep: int) -> dict[Reason, Counter[int]]:
        """Return those of them that came with this sweep, if it is the last one of which the store has got chunks."""
        return self._of_sweep if sweep == self.sweep else {}

    def total(self) -> int:
        """Return the number of rows given up or held back."""
        return sum(sum(rows.values()) for rows in self.by_reason().values())

    def lost_rows(self) -> int:
        """Return the number of rows given up."""
        return self.total() - self.held_rows()

    def held_rows(self) -> int:
        """Return the number of rows that rules hold back."""
        return (self._settled[Reason.RULES] + self._of_sweep[Reason.RULES]).total()

    def to_json(self) -> dict[str, Any]:
        """Return the counts of rows given up as JSON values, for `from_json`."""
        return {
            "sweep": self.sweep,
            "settled": {int(reason): dict(self._settled[reason]) for reason in LOSSES if self._settled[reason]},
            "of_sweep": {int(reason): dict(self._of_sweep[reason]) for reason in LOSSES if self._of_sweep[reason]},
        }

    def held_to_json(self) -> list[Any]:
        """Return the counts of rows that rules hold back as a JSON value, for `take_held`."""
        return [self.sweep, dict(self._settled[Reason.RULES]), dict(self._of_sweep[Reason.RULES])]

    def take_held(self, raw: list[Any]) -> None:
        """Take the counts that `held_to_json` returned, which may be of a later sweep than the others.

        Raises
        ------
        TypeError, ValueError
            If `raw` is anything else.
        """
        sweep, settled, of_sweep = raw
        if sweep > self.sweep:
            self.begin(sweep)
        counts = [Counter({int(first): int(rows) for first, rows in one.items()}) for one in (settled, of_sweep)]
        if sweep < self.sweep:
            counts = [counts[0] + counts[1], Counter()]
        self._settled[Reason.RULES], self._of_sweep[Reason.RULES] = counts
        self.version += 1

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Drops:
        """Return the counts that `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            If `raw` is anything else.
        """
        drops = cls()
        drops.sweep = int(raw["sweep"])
        for name, into in (("settled", drops._settled), ("of_sweep", drops._of_sweep)):
            for reason, rows in raw[name].items():
                drops.version += 1
                into[Reason(int(reason))].update({int(first): int(number) for first, number in rows.items()})
        return drops


def count_by_producer(entity_path: str, batch: Any, firsts: Any) -> Counter[int]:
    """Count the rows of a chunk by producer.

    Parameters
    ----------
    entity_path
        The chunk's entity path.
    batch
        Its record batch, with row ids.
    firsts
        First row-id counters of all producers, ascending, uint64, shape (producers,).

    Returns
    -------
    Counter[int]
        Rows by the first counter of their producer, or by 0 if they belong to none.
    """
    if entity_path.startswith(OWN_ENTITIES):
        return Counter()
    nearest = np.searchsorted(firsts, _counters(batch), side="right")
    found: Counter[int] = Counter()
    for number, rows in enumerate(np.bincount(nearest).tolist()):
        if rows:
            found[int(firsts[number - 1]) if number else 0] += rows
    return found


def _counters(batch: Any) -> NDArray[np.uint64]:
    """Return the counter halves of a chunk's row ids."""
    column = batch.column(batch.schema.get_field_index(ROW_ID))
    raw = np.frombuffer(column.buffers()[1], ">u8", count=2 * len(column), offset=16 * column.offset)
    return raw[1::2].astype(np.uint64)


class KnownProducers:
    """Counts rows as `count_by_producer`, and asks for the producers only when a row may belong to a new one.

    `first_rows` returns the first row-id counter of each producer. Beginnings are 62 random bits, so two of them are
    nearer than `MAX_DISTANCE` only by a chance of about one in a million.
    """

    def __init__(self, first_rows: Callable[[], Iterable[int]]) -> None:
        self._first_rows = first_rows
        self._firsts = np.zeros(0, np.uint64)

    def count(self, entity_path: str, batch: Any) -> Counter[int]:
        """Count the rows of a chunk by producer."""
        if not self._knows(_counters(batch)):
            self._firsts = np.array(sorted(self._first_rows()), np.uint64)
        return count_by_producer(entity_path, batch, self._firsts)

    def _knows(self, counters: NDArray[np.uint64]) -> bool:
        nearest = np.searchsorted(self._firsts, counters, side="right")
        return bool(len(self._firsts) and nearest.all() and (counters - self._firsts[nearest - 1] < MAX_DISTANCE).all())
