"""The file in which a store counts the rows that rules hold back.

Rules hold rows back in every sweep. The journal is replaced by rename, which is too expensive to do so often. So these
counts are written in place, into two files in turn: whenever the collector is killed, one of the files is whole. The
journal has them, too, because rows that came before a file count as held back together with the list of parts. Each
version has a number, and the greatest one counts. Used in the worker's main thread.
"""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

__all__ = ["HeldCounts"]


class HeldCounts:
    """The two files with the counts of one store, in its directory."""

    def __init__(self, directory: Path) -> None:
        self._paths = [directory / f"held-{number}.json" for number in (0, 1)]
        self._number = 0
        """Number of versions so far, in all lives of the collector."""
        self._next = 1
        """Number of the file to write next: the one with the older version."""

    def read(self, in_journal: tuple[int, Any] | None = None) -> Any:
        """Return the last version; None if there is none. `in_journal`: number and value as the journal has them."""
        found = [_read(path) for path in self._paths]
        numbers = [-1 if one is None else one[0] for one in found]
        self._next = 0 if numbers[0] < numbers[1] else 1
        newest = max((one for one in (*found, in_journal) if one is not None), key=lambda one: one[0], default=None)
        if newest is None:
            return None
        self._number, value = newest
        return value

    def take_number(self) -> int:
        """Return the number of a version that the journal gets."""
        self._number += 1
        return self._number

    def write(self, value: Any) -> None:
        """Write a value of JSON.

        Raises
        ------
        OSError
            If it cannot be written. What was written before stays.
        """
        text = json.dumps([self._number + 1, value]).encode()
        descriptor = os.open(self._paths[self._next], os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            whole = b"%08x %d %s" % (zlib.crc32(text), len(text), text)
            if os.pwrite(descriptor, whole, 0) != len(whole):
                raise OSError("the disk is full")
        finally:
            os.close(descriptor)
        self._number += 1
        self._next = 1 - self._next


def _read(path: Path) -> tuple[int, Any] | None:
    """Return the number and the value in a file; None if it was not written whole. Older bytes may follow them."""
    try:
        checksum, length, rest = path.read_bytes().split(b" ", 2)
        text = rest[: int(length)]
        if zlib.crc32(text) != int(checksum, 16):
            return None
        number, value = json.loads(text)
    except (OSError, ValueError):
        return None
    return int(number), value
