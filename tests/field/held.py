"""Holds programs until a test lets them go: each waits for a lock that the test has."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["WAIT", "held"]

WAIT = """
import fcntl, sys
with open(sys.argv[1]) as gate:
    fcntl.flock(gate, fcntl.LOCK_SH)
"""
"""The beginning of a program that waits at the gate that its first argument names."""


@contextmanager
def held(gate: Path) -> Iterator[None]:
    """Hold all programs that reach `gate` during the block."""
    gate.touch()
    with gate.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
