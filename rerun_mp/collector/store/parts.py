"""A part: one of the .rrd files that a store is made of.

An inode identifies a part, not a path: a part of the user's file is written under a hidden name and then renamed to the
user's path, and another program may replace what lies there. Used by the store, in the worker's main thread; `read` may
be called by any thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from rerun_mp.collector.store.drops import OWN_ENTITIES
from rerun_mp.collector.store.rerun_files import read_file
from rerun_mp.encoding.rrd_files import Bookmarks, chunk_payloads, count_chunks, is_complete, payloads_at
from rerun_mp.session.config import WholeFile

__all__ = ["NO_INODE", "SPOOLED", "Part", "Purpose", "count_logged_rows", "inode_of"]

Purpose = Literal["file", "diverted", "buffer", "live", "window", "retired"]
"""Why the store keeps a part:

- `file`: it is the user's file, or will be merged into it.
- `diverted`: rows for the user's file that the file did not take (disk full). They are merged into it at the end.
- `buffer`: rows that came before any sink was set. The first sink gets them.
- `live`: rows for live sinks only, which none of them may have yet. The end of the session keeps those that none has.
- `window`: rows that a live sink or another store has, kept so that later live sinks get them, too.
- `retired`: a file that is complete and belongs to the user. Live sinks read it as long as it lies at its path.
"""

SPOOLED: tuple[Purpose, ...] = ("buffer", "diverted", "live", "window")
"""Purposes of the parts that lie in the spool and count against its bound."""

NO_INODE = (0, 0)
"""The inode of a part whose file is gone."""


@dataclass(slots=True)
class Part:
    """One .rrd file of a store."""

    number: int
    path: str
    purpose: Purpose
    prelude: int = 0
    """Size of the file before its first chunk, in bytes."""
    digest: str = ""
    """Hash of the prelude, which no other file has: the kernel may give the inode of a removed file to another one."""
    begin: int = 0
    """Where the recording begins in the file if other recordings lie before it; 0: there are none."""
    inode: tuple[int, int] | None = None
    """(device, inode), or None while the file is being created."""
    is_ended: bool = False
    """Whether its writer was closed, so that nothing is cut off."""
    is_backlog: bool = False
    """Whether its chunks came before the file that they belong to, so that its rules have not been applied to them."""
    is_inherited: bool = False
    """Whether an earlier life of the collector wrote it."""
    first: int = 0
    """Ordinal of its first chunk. Each life of the collector counts anew."""
    chunks: int = 0
    """Number of flushed chunks. Chunks beyond them in the file do not count: another part repeats them."""
    carried: int = 0
    """Number of chunks with static data of earlier parts that the file begins with. They have no ordinals."""
    repeated: int = 0
    """How many of `chunks` were left out of the file, because the parts that it was merged from held them twice, or
    because its rules hold them back."""
    _bookmarks: Bookmarks = field(default_factory=Bookmarks, repr=False, compare=False)

    @classmethod
    def of_whole_file(cls, whole: WholeFile, number: int) -> Part:
        """Return the part that a complete file of an ended session is in the session that continues it."""
        inode, chunks = (whole.device, whole.inode), count_chunks(whole.path, whole.prelude)
        return cls(
            number,
            whole.path,
            "file",
            whole.prelude,
            whole.digest,
            inode=inode,
            is_ended=True,
            is_inherited=True,
            chunks=chunks,
        )

    @property
    def stop(self) -> int:
        """Ordinal after its last chunk."""
        return self.first + self.chunks

    @property
    def is_spooled(self) -> bool:
        """Whether it lies in the spool and counts against its bound."""
        return self.purpose in SPOOLED

    def exists(self) -> bool:
        """Whether its file still lies at its path."""
        return self.inode is not None and inode_of(self.path) == self.inode

    def is_readable(self) -> bool:
        """Whether its chunks can be read back. A device or a pipe cannot."""
        return self.exists() and os.path.isfile(self.path)

    def is_whole(self, *, with_footer: bool) -> bool:
        """Whether its file is complete as it is."""
        return self.is_readable() and (is_complete(self.path) if with_footer else self.is_ended)

    def size(self) -> int:
        """Bytes of its file; 0 if the file is gone or not a regular one."""
        return os.path.getsize(self.path) if self.is_readable() else 0

    def read(self, since: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield its chunks from ordinal `since` on, as (ordinal, chunk).

        If repeated chunks were left out, their ordinals are unknown: some chunks before `since` then come too.
        """
        first, chunks = self.first + self.repeated, self.chunks - self.repeated
        skip = max(0, since - first)
        if skip < chunks and self.is_readable():
            yield from enumerate(
                read_file(
                    self.path,
                    prelude=self.prelude,
                    skip=self.carried + skip,
                    limit=chunks - skip,
                    begin=self.begin,
                ),
                first + skip,
            )

    def read_messages(self, since: int = 0) -> Iterator[tuple[int, bytes]]:
        """Yield its chunks from ordinal `since` on, as (ordinal, message). Ordinals as in `read`."""
        first, chunks = self.first + self.repeated, self.chunks - self.repeated
        skip = max(0, since - first)
        if skip < chunks and self.is_readable():
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
                yield from enumerate(
                    chunk_payloads(
                        file.fileno(),
                        self.prelude,
                        skip=self.carried + skip,
                        limit=chunks - skip,
                        bookmarks=self._bookmarks,
                    ),
                    first + skip,
                )

    def read_carried(self) -> Iterator[bytes]:
        """Yield the messages of its carried chunks."""
        if self.carried and self.is_readable():
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
                yield from chunk_payloads(file.fileno(), self.prelude, limit=self.carried)

    def read_messages_at(self, ordinals: Collection[int]) -> Iterator[tuple[int, bytes]]:
        """Yield its chunks with these ordinals, as `read_messages`. Reads no other chunk."""
        first = self.first + self.repeated - self.carried
        numbers = {ordinal - first for ordinal in ordinals if ordinal < self.stop}
        if any(number >= self.carried for number in numbers) and self.is_readable():
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
                for number, payload in payloads_at(file.fileno(), self.prelude, numbers):
                    if number >= self.carried:
                        yield first + number, payload

    def count_logged_rows(self) -> int:
        """Return the number of its rows that processes logged. Reads the file."""
        return count_logged_rows([self])

    def holds_rows(self) -> bool:
        """Whether it has any row that a process logged, and not only the collector's own."""
        return any(not chunk.entity_path.startswith(OWN_ENTITIES) for _, chunk in self.read())

    def identify(self) -> None:
        """Record the inode and the beginning of the file that was just created at its path."""
        self.inode = inode_of(self.path)
        self.digest = self._read_digest() if self.is_readable() else ""

    def is_replaced(self) -> bool:
        """Whether another file has its inode now. Reads the beginning of the file."""
        return self.is_readable() and self._read_digest() != self.digest

    def _read_digest(self) -> str:
        with open(self.path, "rb") as file:
            file.seek(self.begin)
            return hashlib.blake2b(file.read(self.prelude - self.begin), digest_size=16).hexdigest()

    def unlink(self) -> None:
        """Remove its file, unless another file lies at its path."""
        if self.is_readable():
            os.unlink(self.path)


def count_logged_rows(parts: Iterable[Part], without: Collection[str] = ()) -> int:
    """Return the number of rows that processes logged in some parts of one store. Reads their files.

    A chunk that two parts hold counts once, and chunks with an id in `without` do not count.
    """
    seen = set(without)
    rows = 0
    for part in parts:
        for _, chunk in part.read():
            if chunk.id not in seen and not chunk.entity_path.startswith(OWN_ENTITIES):
                seen.add(chunk.id)
                rows += chunk.num_rows
    return rows


def inode_of(path: str) -> tuple[int, int] | None:
    """Return (device, inode) of what lies at `path`, or None."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
