"""Kinds of `log` calls for the tests that interrupt each of them at every instruction.

The programs beside this module make the calls with rerun_mp. The tests make the same archetypes with rerun, to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["CALLS", "HOT", "LARGE", "SLOW", "Call", "number_of"]

RING_BYTES = 8 << 20
"""128 slots of 64 KiB, which are soon reused."""
SMALL_RING_BYTES = 1 << 20
"""16 slots of 64 KiB, so that a message of 300 kB goes through a file."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of `log` call."""

    make: Callable[[Any, int], Any]
    """(rerun or rerun_mp, number of the row) -> the archetype."""
    runs: frozenset[str]
    """Functions of the package that such a call executes."""
    avoids: frozenset[str] = frozenset()
    """Functions of other kinds of calls, which it must not execute."""
    before: int = 2
    """Rows logged before the call, so that it finds its slot open. -1: as many as fit into the slot."""
    seals_before: bool = False
    """Whether all open slots are sealed right before the call."""
    is_series: bool = False
    finds_asleep: bool = False
    """Whether the collector sleeps at the call. Otherwise it is awake."""

    def prepare(self, rr: Any, path: str, number: int) -> Callable[[], object]:
        """Return a function that logs row `number`."""
        if self.is_series:
            log = rr.series(path)
            return lambda: log(float(number))
        archetype = self.make(rr, number)
        return lambda: rr.log(path, archetype)


def number_of(turn: int, step: int) -> int:
    """Return the number of the row `step` of turn `turn`. The number determines the contents."""
    return turn * 64 + step


def points(count: int) -> Callable[[Any, int], Any]:
    """Return a function that makes `count` points."""
    return lambda rr, number: rr.Points3D((np.arange(3 * count) + number).astype(np.float32).reshape(-1, 3))


def image(side: int) -> Callable[[Any, int], Any]:
    """Return a function that makes a square image of one byte a pixel."""
    return lambda rr, number: rr.Image(np.random.default_rng(number).integers(0, 255, (side, side), np.uint8))


def number(rr: Any, number: int) -> Any:
    """Make a number."""
    return rr.Scalars(float(number))


def untabled(rr: Any, number: int) -> Any:
    """Make a row that no table can hold, because of its Arrow type."""
    return rr.AnyValues(remark=pa.array([f"row {number}"], pa.large_string()))


LONG = frozenset({"_log"})
HOT = {
    "number": Call(number, frozenset({"log", "append_scalar.<locals>.append"}), LONG),
    "series": Call(number, frozenset({"append_number.<locals>.append"}), LONG | {"log"}, is_series=True),
    "text": Call(
        lambda rr, number: rr.TextLog(f"line {number}"), frozenset({"log", "append_text.<locals>.append"}), LONG
    ),
    "levelled_text": Call(
        lambda rr, number: rr.TextLog(f"line {number}", level=f"L{number % 7}"),
        frozenset({"log", "append_levelled_text.<locals>.append"}),
        before=8,
    ),
    "points": Call(points(10), frozenset({"log", "append_columns.<locals>.append"}), LONG, before=8),
    "pose": Call(
        lambda rr, number: rr.Transform3D(translation=(float(number), 1.0, 2.0)),
        frozenset({"log", "append_packed.<locals>.append"}),
        LONG,
    ),
    "asleep": Call(
        number, frozenset({"append_scalar.<locals>.append", "Producer._attend", "Ringer.ring"}), LONG, finds_asleep=True
    ),
}
"""Calls that append to an open table."""
SLOW = {
    "frame": Call(untabled, frozenset({"_log", "FrameSlot._append_at", "SlotWriter.commit"})),
    "image": Call(image(130), frozenset({"_append_frame", "SlotWriter.commit"}), LONG),
    "claim_table": Call(number, frozenset({"SlotWriter.claim", "OpenTable.__init__"}), seals_before=True),
    "claim_frame": Call(untabled, frozenset({"SlotWriter.claim", "SlotWriter.commit"}), seals_before=True),
    "seal_table": Call(points(1000), frozenset({"OpenTable.close", "SlotWriter.seal", "SlotWriter.claim"}), before=-1),
    "seal_frames": Call(image(140), frozenset({"SlotWriter.seal", "SlotWriter.claim", "SlotWriter.commit"}), before=-1),
    "first": Call(number, frozenset({"Registration.take", "Lease.keep", "SlotWriter.claim"}), before=0),
}
"""Calls that claim, write frames or seal."""
LARGE = {
    "first_chain": Call(
        image(300), frozenset({"_log", "SlotWriter.claim", "SlotWriter.scatter"}), before=0, seals_before=True
    ),
    "chain": Call(image(300), frozenset({"log", "_make_append.<locals>.append"}), LONG | {"_append_frame"}, before=1),
    "file": Call(image(560), frozenset({"Oversize._append_file", "Oversize._write_file"}), before=0),
}
"""Calls with messages larger than a slot."""
CALLS = {**HOT, **SLOW, **LARGE}
