"""A program that logs numbers, and publishes how many calls have returned and how many rows are stored.

Arguments: the path of the recording's file, an entity, and a file of three words: calls that have returned, rows that
a flush has confirmed, and a word that ends the program.
"""

from __future__ import annotations

import mmap
import sys
import time
from collections import Counter
from pathlib import Path

import rerun_mp as rr
from tests.harness.recordings import chunks_of

__all__ = ["STOP", "Counts", "check_counts", "count", "rows_in"]

RETURNED, STORED, STOP = range(3)
ROWS_PER_FLUSH = 50
PAUSE_SECS = 0.002


class Counts:
    """The three words of a program, seen from outside or from the program itself."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(24))
        with path.open("r+b") as file:
            self.words = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")

    @property
    def returned(self) -> int:
        """Number of calls that have returned."""
        return self.words[RETURNED]

    @property
    def stored(self) -> int:
        """Number of rows that a flush has confirmed."""
        return self.words[STORED]


def rows_in(directory: Path) -> tuple[Counter[str], int]:
    """Return the rows of each entity in all files of a directory, and how many row ids occur twice."""
    found: Counter[str] = Counter()
    row_ids: Counter[bytes] = Counter()
    for path in sorted(directory.glob("*.rrd")):
        for chunk in chunks_of(path):
            found[chunk.entity_path] += len(chunk)
            row_ids.update(chunk.row_ids)
    return found, sum(number - 1 for number in row_ids.values())


def check_counts(found: Counter[str], entity: str, least: int, most: int) -> int:
    """Return how many rows of an entity are lost.

    Raises
    ------
    AssertionError
        If there are more rows than calls.
    """
    assert found[entity] <= most, f"{found[entity]} rows of {entity}, from {most} calls"
    return max(0, least - found[entity])


def count(entity: str, counts: Counts, until: int | None = None) -> None:
    """Log until the last word is set, or until so many calls have returned."""
    words = counts.words
    call = words[RETURNED]
    while not words[STOP] and call != until:
        rr.log(entity, rr.Scalars(float(call)))
        call += 1
        words[RETURNED] = call
        if call % ROWS_PER_FLUSH == 0:
            rr.flush()
            words[STORED] = call
            time.sleep(PAUSE_SECS)


def main(path: str, entity: str, counts: Counts) -> None:
    """Log until the last word is set."""
    rr.init("rerun_mp_soak")
    rr.save(path)
    count(entity, counts)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Counts(Path(sys.argv[3])))
