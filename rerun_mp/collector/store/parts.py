"""Parts: the files that a store is made of, and the journal that lets the next life of a collector find them.

Every life of a collector, and every failure of a file, begins a new part. A part is known by its inode, because a part
of the user's file is written under a hidden name and then renamed over the user's path, and because somebody else may
have put another file there since. The journal is a small JSON file in the store's spool directory, replaced by rename:
a part is in it before its first chunk is written.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.drops import OWN_ENTITIES, Drops
from rerun_mp.collector.store.rerun_sinks import read_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import count_chunks, is_complete
from rerun_mp.errors import CorruptionError
from rerun_mp.session.config import Blueprint, SinkSpec
from rerun_mp.session.directories import is_claimed

__all__ = [
    "Journal",
    "Part",
    "Purpose",
    "remove_complete",
    "spooled_rows",
    "stored_recordings",
    "stored_targets",
]

Purpose = Literal["file", "diverted", "buffer", "window", "retired"]
"""Why a part is kept:

- `file`: it is, or will be part of, the user's file.
- `diverted`: rows of the user's file that it did not take (disk full); they are merged into it at the end.
- `buffer`: rows for which no sink has been set yet. The first one gets them.
- `window`: rows that only live sinks were there for; kept so that these can catch up.
- `retired`: a file that is complete and the user's own now; read from as long as it stays where it is.
"""


JOURNALED = ("number", "path", "purpose", "prelude", "digest", "inode", "is_ended")

NOWHERE = (0, 0)
"""The inode of a part whose file is gone."""


@dataclass(slots=True)
class Part:
    """One .rrd file of a store."""

    number: int
    path: str
    purpose: Purpose
    prelude: int = 0
    digest: str = ""
    """Of its prelude, which no other file has: once nobody has a removed file open, another may get its inode."""
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
    repeated: int = 0
    """How many of them it does not hold, because they were there twice in the parts that it was made of."""

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
        """Yield its chunks from ordinal `since` on, as (ordinal, chunk).

        Where some were left out as repeated, nobody knows which: rather some before `since` than one too few.
        """
        first, chunks = self.first + self.repeated, self.chunks - self.repeated
        skip = max(0, since - first)
        if skip < chunks and self.is_readable():
            yield from enumerate(
                read_file(self.path, prelude=self.prelude, skip=skip, limit=chunks - skip), first + skip
            )

    def count_logged_rows(self) -> int:
        """Return its rows without those that the collector logs by itself. Reads the file."""
        return sum(chunk.num_rows for _, chunk in self.read() if not chunk.entity_path.startswith(OWN_ENTITIES))

    def holds_rows(self) -> bool:
        """Whether it has more than what the collector logs by itself."""
        return any(not chunk.entity_path.startswith(OWN_ENTITIES) for _, chunk in self.read())

    def settle(self) -> None:
        """Take note of the inode of the file that was created at its path, and of how it begins."""
        self.inode = _inode(self.path)
        self.digest = self._digest() if self.is_readable() else ""

    def is_another(self) -> bool:
        """Whether another file has its inode now. It reads the file's beginning."""
        return self.is_readable() and self._digest() != self.digest

    def _digest(self) -> str:
        with open(self.path, "rb") as file:
            return hashlib.blake2b(file.read(self.prelude), digest_size=16).hexdigest()

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
    recording: RecordingKey
    """Whose store it is: said here too, for whoever finds the store without its session."""
    scoped_to: str = ""
    """The sink that it is for, of a store that has not the whole recording."""
    is_complete: bool = False
    """Whether the session has ended for this recording: its file is the user's now, whatever is still to be removed."""
    target: SinkSpec | None = None
    """The user's file that is being written."""
    copies: tuple[SinkSpec, ...] = ()
    owned: list[tuple[int, int]] = field(default_factory=list)
    """Inodes that may be renamed over at the target's path: what lay there when the user named it, and what we put
    there since. Any other is somebody else's."""
    next_number: int = 0
    blueprint: Blueprint | None = None
    """What was sent last: every file of the target begins with it, or has it further down."""
    drops: Drops = field(default_factory=Drops)
    """Rows that no sink had got when the spool's bound took them, or that could not be written."""
    parts: list[Part] = field(default_factory=list)
    _is_behind: bool = False
    """Whether the file does not say all that is here, because it could not be written."""

    @classmethod
    def load(cls, path: Path, session: str, recording: RecordingKey, scoped_to: str = "") -> Journal:
        """Read the journal at `path`, and look at what became of the parts that it names.

        Raises
        ------
        CorruptionError
            If it is not a journal.
        """
        journal = cls(path, session, recording, scoped_to)
        try:
            raw: dict[str, Any] = json.loads(path.read_bytes())
        except FileNotFoundError:
            return journal
        except ValueError as error:
            raise CorruptionError(f"the journal {path} cannot be read: {error}") from error
        try:
            journal.is_complete = bool(raw["is_complete"])
            journal.target = SinkSpec(**raw["target"]) if raw["target"] else None
            journal.copies = tuple(SinkSpec(**spec) for spec in raw["copies"])
            journal.owned = [(int(device), int(number)) for device, number in raw["owned"]]
            journal.next_number = int(raw["next_number"])
            journal.blueprint = Blueprint(*raw["blueprint"]) if raw["blueprint"] else None
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
                "recording": self.recording,
                "scoped_to": self.scoped_to,
                "is_complete": self.is_complete,
                "target": asdict(self.target) if self.target else None,
                "copies": [asdict(spec) for spec in self.copies],
                "owned": self.owned,
                "next_number": self.next_number,
                "blueprint": self.blueprint,
                "drops": self.drops.to_json(),
                "parts": [{name: getattr(part, name) for name in JOURNALED} for part in self.parts],
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
        is_ours = spec.claim is None or is_claimed(spec.target, spec.claim)
        self.owned = [inode] if is_ours and (inode := _inode(spec.target)) else []

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
        self.owned = [part.inode]  # what lay there is gone, and another file may get its inode
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
        if part.is_another():
            self.owned = [inode for inode in self.owned if inode != part.inode]
            part.inode = NOWHERE
        if part.purpose == "retired" and not part.exists():
            return
        part.first = self.next_ordinal()
        part.chunks = count_chunks(part.path, part.prelude) if part.is_readable() else 0
        self.parts.append(part)


def stored_recordings(spool: Path) -> list[tuple[RecordingKey, str]]:
    """Return of which recordings a session's spool directory has a store, and for which sink if not for the whole."""
    found = []
    for path in sorted(spool.glob("*/journal.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            raw = json.loads(path.read_bytes())
            application_id, recording_id = raw["recording"]
            found.append((RecordingKey(str(application_id), str(recording_id)), str(raw["scoped_to"])))
    return found


def stored_targets(spool: Path) -> dict[RecordingKey, list[str]]:
    """Return which files are being written by the stores in a session's spool directory."""
    found: dict[RecordingKey, list[str]] = {}
    for path in sorted(spool.glob("*/journal.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            raw = json.loads(path.read_bytes())
            if not raw["is_complete"]:
                specs = [raw["target"], *raw["copies"]] if raw["target"] else []
                found.setdefault(RecordingKey(*raw["recording"]), []).extend(str(spec["target"]) for spec in specs)
    return found


def spooled_rows(spool: Path) -> Counter[RecordingKey]:
    """Count by recording the rows that lie in a spool directory that nobody writes to, in no file of the user's."""
    rows: Counter[RecordingKey] = Counter()
    for path in spool.glob("*/journal.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            raw = json.loads(path.read_bytes())
            key = RecordingKey(*raw["recording"])
            # What a part of the processes logged for a sink of their own lies in the whole recording's store, too.
            for entry in [] if raw["is_complete"] or raw["scoped_to"] else raw["parts"]:
                part = Part(**{**entry, "inode": tuple(entry["inode"] or ()) or None})
                if part.purpose in ("diverted", "buffer", "window") and part.is_readable():
                    part.chunks = count_chunks(part.path, part.prelude)
                    rows[key] += part.count_logged_rows()
    return rows


def remove_complete(spool: Path) -> bool:
    """Remove what a spool directory holds of recordings that are complete, and itself if nothing else is in it.

    Returns whether it is gone. What is not complete, because a file could not be written, is for a recovery to find.
    """
    for path in spool.glob("*"):
        journal = path / "journal.json"
        try:
            is_complete = not journal.exists() or json.loads(journal.read_bytes())["is_complete"]
        except (OSError, ValueError, KeyError, TypeError):
            is_complete = False
        if is_complete and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif not path.is_dir():
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        spool.rmdir()
    return not spool.exists()


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino)
