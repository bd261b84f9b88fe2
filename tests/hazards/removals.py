"""All entries of the table, in the order of the hazards."""

from __future__ import annotations

from tests.hazards import collector, producers, segment, sinks
from tests.hazards.registry import Removal

__all__ = ["REMOVALS"]

REMOVALS: tuple[Removal, ...] = tuple(
    sorted(
        (*segment.REMOVALS, *producers.REMOVALS, *collector.REMOVALS, *sinks.REMOVALS),
        key=lambda removal: removal.hazard,
    )
)
