"""Shared by the examples: count the calls of `rr.log` where no kill can undo it, and compare with the recording.

Each process counts its calls in a file of its own, mapped into its memory. The kernel keeps these counts however the
process ends. A process counts a call before and after it; a kill in between may keep the row or lose it.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys
from collections import Counter
from pathlib import Path

from rerun.chunk import RrdReader

import rerun_mp as rr

__all__ = ["Ledger", "compare"]

COUNTS = struct.Struct("<QQ")


class Ledger:
    """One process's count of its calls of `log`. Its rows have its name at the end of their entity paths."""

    def __init__(self, directory: str | Path, name: str) -> None:
        self._name = name
        path = Path(directory) / f"{name}.{os.getpid()}"
        path.write_bytes(bytes(COUNTS.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), COUNTS.size)

    def log(self, path: str, archetype: rr.AsComponents) -> None:
        """Log one row."""
        begun, returned = COUNTS.unpack(self._memory)
        self._memory[:] = COUNTS.pack(begun + 1, returned)
        rr.log(f"{path}/{self._name}", archetype)
        self._memory[:] = COUNTS.pack(begun + 1, returned + 1)


def compare(directory: str | Path, recording: str | Path) -> None:
    """Print the rows that each process logged and those in the recording. Exit with 1 if rows are missing."""
    begun: Counter[str] = Counter()
    returned: Counter[str] = Counter()
    for path in sorted(Path(directory).iterdir()):
        name = path.name.rpartition(".")[0]
        calls, ended = COUNTS.unpack(path.read_bytes())
        begun[name] += calls
        returned[name] += ended
    found: Counter[str] = Counter()
    killed = []
    for chunk in RrdReader(recording).stream():
        found[chunk.entity_path.rpartition("/")[2]] += chunk.num_rows
        if chunk.entity_path == "/__rerun_mp/crashes":
            killed += [row[0] for row in chunk.to_record_batch().column("TextLog:text").to_pylist()]
    print(f"{'worker':<24}{'rows logged':>12}{'in recording':>14}")
    for name in sorted(begun):
        print(f"{name:<24}{returned[name]:>12}{found[name]:>14}")
    for text in killed:
        print(f"the recording says: {text}")
    is_whole = all(returned[name] <= found[name] <= begun[name] for name in begun)
    print("every row is there" if is_whole else "ROWS ARE MISSING")
    sys.exit(0 if is_whole else 1)
