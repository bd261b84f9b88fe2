"""Parts: the files that a store is made of, and the journal that lets the next life of a collector find them.

Every life of a collector, and every failure of a file, begins a new part. A part is known by its inode, because a part
of the user's file is written under a hidden name and then renamed over the user's path, and because somebody else may
have put another file there since. The journal is a small JSON file in the store's spool directory, replaced by rename:
a part is in it before its first chunk is written.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rerun_mp.collector.drops import Drops
from rerun_mp.collector.log import say
from rerun_mp.collector.rerun_sinks import read_file
from rerun_mp.collector.rrd_file import count_chunks, is_complete
from rerun_mp.config import SinkSpec
from rerun_mp.errors import CorruptionError

__all__ = ["Journal", "Part", "Purpose"]

Purpose = Literal["file", "diverted", "buffer", "window", "retired"]
"""Why a part is kept:

- `file`: it is, or will be part of, the user's file.
- `diverted`: rows of the user's file that it did not take (disk full); they are merged into it at the end.
- `buffer`: rows for which no sink has been set yet. The first one gets them.
- `window`: rows that only live sinks were there for; kept so that these can catch up.
- `retired`: a file that is complete and the user's own now; read from as long as it stays where it is.
"""


@dataclass(slots=True)
class Part:
    """One .rrd file of a store."""

    number: int
    path: str
    purpose: Purpose
    prelude: int = 0
    inode: tuple[int, int] | None = None
    """(device, inode), or None while it is being created."""
    is_ended: bool = False
    """Whether its writer was closed, so that nothing is cut off."""
    is_inherited: bool = False
    """Whether an earlier life of the collector wrote it."""
    first: int = 0
    """Ordinal of its first chunk, counted anew in each life."""
    chunks: int = 0
    """Chunks that were flushed. What the file holds beyond is not part of it: those are repeated elsewhere."""

    @property
    def stop(self) -> int:
        """Ordinal after its last chunk."""
        return self.first + self.chunks

    def exists(self) -> bool:
        """Whether its file still lies at its path."""
        return self.inode is not None and _inode(self.path) == self.inode

    def is_readable(self) -> bool:
        """Whether its chunks can be read back: not so for a device or a pipe."""
        return self.exists() and os.path.isfile(self.path)

    def is_whole(self, *, with_footer: bool) -> bool:
        """Whether its file is complete as it lies there."""
        return self.is_readable() and (is_complete(self.path) if with_footer else self.is_ended)

    def size(self) -> int:
        """Bytes of its file; 0 if it is not there or not a regular file."""
        return os.path.getsize(self.path) if self.is_readable() else 0

    def read(self, since: int = 0) -> Iterator[tuple[int, Any]]:
        """Yield its chunks from ordinal `since` on, as (ordinal, chunk)."""
        skip = max(0, since - self.first)
        if skip < self.chunks and self.is_readable():
            chunks = read_file(self.path, prelude=self.prelude, skip=skip, limit=self.chunks - skip)
            yield from enumerate(chunks, self.first + skip)

    def settle(self) -> None:
        """Take note of the inode of the file that was created at its path."""
        self.inode = _inode(self.path)

    def unlink(self) -> None:
        """Remove its file, if it is still this one."""
        if self.is_readable():
            os.unlink(self.path)


@dataclass(slots=True)
class Journal:
    """What a store must find again after the collector was killed."""

    path: Path
    session: str
    """What tells this session's hidden files from those of another with the same target."""
    target: SinkSpec | None = None
    """The user's file that is being written."""
    copies: tuple[SinkSpec, ...] = ()
    owned: list[tuple[int, int]] = field(default_factory=list)
    """Inodes that may be renamed over at the target's path: what lay there when the user named it, and what we put
    there since. Any other is somebody else's."""
    next_number: int = 0
    drops: Drops = field(default_factory=Drops)
    """Rows that no sink had got when the spool's bound took them, or that could not be written."""
    parts: list[Part] = field(default_factory=list)
    _is_behind: bool = False
    """Whether the file does not say all that is here, because it could not be written."""

    @classmethod
    def load(cls, path: Path, session: str) -> Journal:
        """Read the journal at `path`, and look at what became of the parts that it names.

        Raises
        ------
        CorruptionError
            If it is not a journal.
        """
        journal = cls(path, session)
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return journal
        except ValueError as error:
            raise CorruptionError(f"the journal {path} cannot be read: {error}") from error
        try:
            journal.target = SinkSpec(**raw["target"]) if raw["target"] else None
            journal.copies = tuple(SinkSpec(**spec) for spec in raw["copies"])
            journal.owned = [(int(device), int(number)) for device, number in raw["owned"]]
            journal.next_number = int(raw["next_number"])
            journal.drops = Drops.from_json(raw["drops"])
            for entry in raw["parts"]:
                inode = tuple(entry.pop("inode") or ()) or None
                journal._find(Part(**entry, inode=inode, is_inherited=True))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(f"the journal {path} is damaged: {error!r}") from error
        return journal

    def save(self) -> None:
        """Replace the file, or, while its disk has no room, leave that to a later call.

        What is logged goes on all the same: a collector that dies meanwhile costs its successor what is not written.
        """
        text = json.dumps(
            {
                "target": asdict(self.target) if self.target else None,
                "copies": [asdict(spec) for spec in self.copies],
                "owned": self.owned,
                "next_number": self.next_number,
                "drops": self.drops.to_json(),
                "parts": [
                    {name: getattr(part, name) for name in ("number", "path", "purpose", "prelude", "inode")}
                    for part in self.parts
                ],
            }
        )
        fresh = self.path.with_suffix(".new")
        try:
            fresh.write_text(text)
            os.replace(fresh, self.path)
        except OSError as error:
            if not self._is_behind:
                say(f"rerun_mp: {self.path} cannot be written: {error.strerror}")
            self._is_behind = True
        else:
            self._is_behind = False

    def catch_up(self) -> None:
        """Replace the file if it could not be replaced before."""
        if self._is_behind:
            self.save()

    def take_number(self) -> int:
        """Return a number that no part has had."""
        self.next_number += 1
        return self.next_number - 1

    def begin_target(self, spec: SinkSpec) -> None:
        """Take `spec` for the target; what lies at its path may be replaced. The caller saves."""
        self.target = spec
        self.owned = [inode] if (inode := _inode(spec.target)) else []

    def owns_target(self) -> bool:
        """Whether the target's path is free, or what lies there is ours."""
        return self.target is not None and _inode(self.target.target) in (None, *self.owned)

    def place(self, part: Part) -> None:
        """Rename `part` over the target's path."""
        assert self.target is not None
        assert part.inode is not None
        self.owned.append(part.inode)
        self.save()  # first, so that a next life knows it for ours
        if os.path.exists(self.target.target):
            os.chmod(part.path, stat.S_IMODE(os.stat(self.target.target).st_mode))
        os.replace(part.path, self.target.target)
        part.path = self.target.target
        self.save()

    def hidden_path(self, target: str, number: int) -> str:
        """Return where part `number` of `target` is written: beside it, under a name of this session's own."""
        directory, name = os.path.split(target)
        return os.path.join(directory, f".{name[:200]}.rmp-{self.session}-{number}")

    def next_ordinal(self) -> int:
        """Return the ordinal after the last chunk of all parts."""
        return max((part.stop for part in self.parts), default=0)

    def _find(self, part: Part) -> None:
        """Keep `part` if its file is still there, counting what its writer had brought into it."""
        if part.inode is None:
            # It was killed while it created the file, so no chunk is in it.
            if os.path.isfile(part.path):
                os.unlink(part.path)
            return
        if not part.exists() and self.target is not None and _inode(self.target.target) == part.inode:
            part.path = self.target.target  # killed between the renaming and the journal
        if part.purpose == "retired" and not part.exists():
            return
        part.first = self.next_ordinal()
        part.chunks = count_chunks(part.path, part.prelude) if part.is_readable() else 0
        self.parts.append(part)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
