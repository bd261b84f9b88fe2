"""Mutants that no test on a bytearray can tell from the original, and why."""

from __future__ import annotations

SURVIVORS: dict[str, dict[str, str]] = {"layout": {}, "ring": {}, "writer": {}}
