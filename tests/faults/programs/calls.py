"""The calls whose every step is tried: what they log, and what of the package they must run.

The programs beside this module make them with rerun_mp, the tests, which say what must be in the file, with rerun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CALLS", "HOT", "LARGE", "SLOW", "Call", "number_of"]

RING_BYTES = 8 << 20
"""128 slots of 64 KiB: they are soon used again."""
SMALL_RING_BYTES = 1 << 20
"""16 such slots, so that a message of 300 kB goes by way of a file."""


@dataclass(frozen=True, slots=True)
class Call:
    """One kind of `log` call."""

    make: Callable[[Any, int], Any]
    """(rerun or rerun_mp, number of the row) -> what is logged."""
    runs: frozenset[str]
    """Functions of the package that such a call executes."""
    avoids: frozenset[str] = frozenset()
    """Functions that it must not execute, or it is another kind of call."""
    before: int = 2
    """Rows that are logged before, so that the call finds open what it is to find open; -1: until no more fit."""
    seals_before: bool = False
    """Whether what is open is then closed."""
    is_series: bool = False
    finds_asleep: bool = False
    """Whether the collector sleeps at the call; otherwise it is awake."""

    def prepare(self, rr: Any, path: str, number: int) -> Callable[[], object]:
        """Return what logs row `number`."""
        if self.is_series:
            log = rr.series(path)
            return lambda: log(float(number))
        archetype = self.make(rr, number)
        return lambda: rr.log(path, archetype)


def number_of(turn: int, step: int) -> int:
    """Return the number of a row, from which its content is made: `step` of an entity's rows in turn `turn`."""
    return turn * 64 + step


def points(count: int) -> Callable[[Any, int], Any]:
    """Return what makes so many points."""
    return lambda rr, number: rr.Points3D((np.arange(3 * count) + number).astype(np.float32).reshape(-1, 3))


def image(side: int) -> Callable[[Any, int], Any]:
    """Return what makes a square image of one byte a pixel."""
    return lambda rr, number: rr.Image(np.random.default_rng(number).integers(0, 255, (side, side), np.uint8))


def number(rr: Any, number: int) -> Any:
    """Make a number."""
    return rr.Scalars(float(number))


def boxes(rr: Any, number: int) -> Any:
    """Make something that rerun_mp has no fast class for."""
    return rr.Boxes3D(half_sizes=[[float(number), 1.0, 2.0]], labels=[f"box {number}"])


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
    "points": Call(points(10), frozenset({"log", "append_array.<locals>.append"}), LONG),
    "pose": Call(
        lambda rr, number: rr.Transform3D(translation=(float(number), 1.0, 2.0)),
        frozenset({"log", "append_packed.<locals>.append"}),
        LONG,
    ),
    "asleep": Call(
        number, frozenset({"append_scalar.<locals>.append", "Producer._attend", "Ringer.ring"}), LONG, finds_asleep=True
    ),
}
"""Rows that are appended to an open table."""
SLOW = {
    "frame": Call(boxes, frozenset({"_log", "FrameSlot._append_at", "SlotWriter.commit"})),
    "image": Call(image(130), frozenset({"BlobAppend._append_frame", "SlotWriter.commit"}), LONG),
    "claim_table": Call(number, frozenset({"SlotWriter.claim", "OpenTable.__init__"}), seals_before=True),
    "claim_frame": Call(boxes, frozenset({"SlotWriter.claim", "SlotWriter.commit"}), seals_before=True),
    "seal_table": Call(points(1000), frozenset({"OpenTable.retire", "SlotWriter.seal", "SlotWriter.claim"}), before=-1),
    "seal_frames": Call(image(140), frozenset({"SlotWriter.seal", "SlotWriter.claim", "SlotWriter.commit"}), before=-1),
    "first": Call(number, frozenset({"Registration.take", "Lease.keep", "SlotWriter.claim"}), before=0),
}
"""Calls that claim, write frames or seal."""
LARGE = {
    "first_chain": Call(
        image(300), frozenset({"_log", "SlotWriter.claim", "SlotWriter.scatter"}), before=0, seals_before=True
    ),
    "chain": Call(image(300), frozenset({"Producer.append_known", "SlotWriter.scatter"}), LONG, before=1),
    "file": Call(image(560), frozenset({"Oversize._append_file", "Oversize._write_file"}), before=0),
}
"""Messages that no slot holds."""
CALLS = {**HOT, **SLOW, **LARGE}
