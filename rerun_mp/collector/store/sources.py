"""The files that hold what a store still has, opened for another thread to read, such as one that writes a snapshot.

The store's main thread makes a `Sources`; then one other thread reads and closes it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.rerun_files import read_file
from rerun_mp.collector.store.rerun_sdk import Chunk, chunks_in
from rerun_mp.session.config import Blueprint

__all__ = ["Source", "Sources"]


class Source(NamedTuple):
    """One .rrd file."""

    path: str
    prelude: int = 0
    """Size of the file before its first chunk, in bytes."""
    chunks: int | None = None
    """Number of its chunks that are flushed; None: the file is complete."""
    begin: int = 0
    """Where the recording begins in the file if other recordings lie before it; 0: there are none."""

    def read(self) -> Iterator[Chunk]:
        """Yield its chunks; none if the user has moved the file away."""
        if self.chunks is not None:
            yield from read_file(self.path, prelude=self.prelude, limit=self.chunks, begin=self.begin)
        elif os.path.exists(self.path):
            yield from chunks_in(self.path)


class Sources:
    """Complete parts, in their order, and then the parts of the present file or spool."""

    def __init__(self, journal: Journal, complete: Iterable[str]) -> None:
        """Open the parts that are not complete: they may get other names. `complete`: the paths of the others."""
        self.default_blueprint = None if journal.target is None else journal.target.blueprint
        self.blueprint: Blueprint | None = journal.blueprint
        self.files = [Source(path) for path in complete]
        self._opened = contextlib.ExitStack()
        for part in sorted(journal.parts, key=lambda part: part.first):
            if part.purpose != "retired" and part.is_readable():
                fd = os.open(part.path, os.O_RDONLY | os.O_CLOEXEC)
                self._opened.callback(os.close, fd)
                # Only flushed chunks count: another part repeats the others.
                chunks = part.carried + part.chunks - part.repeated
                self.files.append(Source(f"/proc/self/fd/{fd}", part.prelude, chunks, part.begin))

    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(os.path.getsize(one.path) for one in self.files if os.path.exists(one.path))

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()
