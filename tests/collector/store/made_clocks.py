"""A clock that a test hands to a store, and that goes when the test says so."""

from __future__ import annotations

from rerun_mp.collector.store.clock import Clock

__all__ = ["HandedClock"]


class HandedClock(Clock):
    """A machine's clocks. They stand still between two calls of `go`."""

    def __init__(self) -> None:
        self._boot_secs = 1000.0
        self._ahead_ns = 1_700_000_000_000_000_000

    def boot_secs(self) -> float:
        return self._boot_secs

    def wall_ns(self) -> int:
        return self._ahead_ns + int(self._boot_secs * 1e9)

    def go(self, secs: float) -> None:
        """Let both clocks go on."""
        self._boot_secs += secs

    def set_wall(self, change_secs: float) -> None:
        """Change the wall clock, as its user does."""
        self._ahead_ns += int(change_secs * 1e9)
