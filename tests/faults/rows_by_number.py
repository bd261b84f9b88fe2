"""Checks a file for the rows of the calls of `programs/calls.py`: each returned row is there, whole and once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rerun

from tests.faults.programs.calls import CALLS, Call, number_of
from tests.harness.recordings import Row, rows_of, verify

__all__ = ["Recorded", "accounts_without_loss", "assert_whole"]


@dataclass(slots=True)
class Recorded:
    """The rows of a complete file, by entity path."""

    by_entity: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def read(cls, *paths: Path) -> Recorded:
        """Read the parts of a file, and check that each is complete and that they have no row id twice."""
        found = cls()
        rows = []
        for path in paths:
            verify(path)
            rows += rows_of(path)
        assert len({row.row_id for row in rows}) == len(rows), "a row id occurs twice"
        for row in rows:
            found.by_entity[row.entity_path].append(row)
        return found

    def __len__(self) -> int:
        return sum(map(len, self.by_entity.values()))

    def take(
        self,
        name: str,
        at: int,
        *,
        returned: Collection[int],
        unsure: Collection[int] = (),
        twice: Collection[int] = (),
    ) -> int:
        """Assert that one entity has rows of these steps, each whole and once. Remove them.

        Parameters
        ----------
        name, at
            The call and its turn.
        returned
            Steps whose rows must be there.
        unsure
            Steps whose rows may be there.
        twice
            Steps that two processes may have logged.

        Returns
        -------
        The number of rows beyond the returned ones.
        """
        call, found = CALLS[name], self.by_entity.pop(f"{name}/{at}", [])
        steps = [row.times.get("step") for row in found]
        for step in set(steps):
            assert steps.count(step) <= 1 + (step in twice), f"{name}/{at}: a row is stored twice: {steps}"
        assert set(returned) <= set(steps), f"{name}/{at}: expected steps {list(returned)}, found {steps}"
        assert set(steps) <= {*returned, *unsure}, f"{name}/{at}: expected steps {list(returned)}, found {steps}"
        for row in found:
            assert_whole(row, call, number_of(at, row.times["step"]))
        return len(steps) - len(returned)


def accounts_without_loss(delivered: int) -> dict[str, Any]:
    """Return the last line that the programs print if no row was lost, and nothing stays behind."""
    return {
        "living": 1,
        "held slots": 0,
        "delivered": delivered,
        "dropped": 0,
        "damaged": 0,
        "damaged slots": 0,
        "files": [],
        "workers": 1,
    }


def assert_whole(row: Row, call: Call, number: int) -> None:
    """Assert that a row has exactly the components that rerun makes of the call."""
    expected = {
        batch.component_descriptor().component: batch.as_arrow_array()
        for batch in call.make(rerun, number).as_component_batches()
    }
    assert set(row.times) == {"log_time", "step"}
    assert set(row.components) == set(expected), f"{row.entity_path}: {set(row.components)}"
    for name, array in expected.items():
        assert _equal(row.components[name].values, array), f"{row.entity_path}, row {number}: {name} differs"


def _equal(found: Any, expected: Any) -> bool:
    return bool(found.equals(expected.cast(found.type)))
