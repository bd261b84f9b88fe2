"""The journal of a store: facts for the next life of the collector, if this one is killed.

A small JSON file in the store's spool directory, replaced by rename, and a copy of it for the case that it is damaged.
It names a part before the part's first chunk is written. Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.drops import Drops
from rerun_mp.collector.store.held_counts import HeldCounts
from rerun_mp.collector.store.parts import NO_INODE, Part, inode_of
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import count_chunks
from rerun_mp.errors import CorruptionError
from rerun_mp.session.config import Blueprint, SinkSpec, WholeFile
from rerun_mp.session.directories import rescue_base
from rerun_mp.session.file_claims import aside_paths, hidden_name, hold_file, is_claimed, move_or_copy
from rerun_mp.shm.leases import Lease

__all__ = ["Journal", "Series"]

SAVED_OF_PART = (
    "number",
    "path",
    "purpose",
    "prelude",
    "digest",
    "inode",
    "begin",
    "is_ended",
    "is_backlog",
    "carried",
)
"""Fields of a part that the journal holds. A new life counts the others anew."""


@dataclass(slots=True)
class Series:
    """The parts of a file that rotates, one after the other."""

    first: str
    """Path of the first part, by which the configuration names the file."""
    path: str
    """The path that the user named."""
    number: int
    """Number of the present part."""
    episodes: int = 0
    """Number of the program's requests for a new part that have been met."""
    began: float | None = None
    """When the present part got its first row, in seconds since the machine's start; None: it has none."""
    carried: str | None = None
    """File in the spool with the static chunks that the present part begins with."""
    next_carried: str | None = None
    """The same for the next part, while the present one is completed."""
    recording_id: str | None = None
    """Id of the recording that goes on in the parts; None: the store's own."""
    closed: dict[str, float] = field(default_factory=dict)
    """Number of a complete part that is in the window of `Rotation.keep_last` -> when it was complete, in seconds since
    the machine's start less `paused_secs`."""
    unlisted: list[dict[str, Any]] = field(default_factory=list)
    """Fields of the complete parts that the part list does not name yet, because its disk was full."""
    paused_secs: float = 0.0
    """Seconds in which no collector lived, and seconds before the first one."""


@dataclass(slots=True)
class Journal:
    """A store's state that survives its collector."""

    path: Path
    session: str
    """Part of the session's hidden file names: another session may write to the same target."""
    recording: RecordingKey
    """The store's recording. Written down so that a recovery can find the store without its session."""
    scoped_to: str = ""
    """The sink that the store is for, or "" if it has the whole recording."""
    is_complete: bool = False
    """Whether the session has ended for this recording. The file is then the user's, though parts may remain."""
    target: SinkSpec | None = None
    """The user's file that is being written."""
    owned: list[tuple[int, int]] = field(default_factory=list)
    """Inodes at the target's path that the store may replace: the file that lay there when the user named it, and the
    store's own since. Any other file belongs to another program."""
    moved: list[tuple[str, str]] = field(default_factory=list)
    """(path that the user named, path where the file lies now), for files that another program has set aside."""
    failure: str | None = None
    """Why the target could not be completed, for the program."""
    next_number: int = 0
    blueprint: Blueprint | None = None
    """The last blueprint that was sent. Every file of the target holds it."""
    completed: list[WholeFile] = field(default_factory=list)
    """The files that were completed last, for good."""
    drops: Drops = field(default_factory=Drops)
    """Rows that the store has given up."""
    held_counts: HeldCounts = field(init=False)
    """The files with the counts of rows that rules hold back."""
    parts: list[Part] = field(default_factory=list)
    series: Series | None = None
    """The parts of a target that rotates."""
    closed_rows: int = 0
    """Rows that processes logged in the complete parts of targets that rotate, also in parts that are gone."""
    closed: WholeFile | None = None
    """The last part that counts in `closed_rows`."""
    is_saved: bool = False
    """Whether the file has been written, in any life. If it is not there, somebody has removed it."""
    _is_behind: bool = False
    """Whether the last `save` failed."""
    _lease: Lease | None = None
    """The lock on the file at the target's path."""

    def __post_init__(self) -> None:
        self.held_counts = HeldCounts(self.path.parent)

    @classmethod
    def load(cls, path: Path, session: str, recording: RecordingKey, scoped_to: str = "") -> Journal:
        """Read the journal at `path`, if there is one, and look for the parts that it names.

        Its copy stands in for a journal that is damaged or gone. If the copy is damaged, too, the store begins anew.
        """
        copy = _copy_of(path)
        if path.exists() or not copy.exists():
            try:
                return cls._read(path, path, session, recording, scoped_to)
            except CorruptionError as error:
                say(f"worker {os.getpid()}: {error}; its copy is used")
        try:
            return cls._read(copy, path, session, recording, scoped_to)
        except CorruptionError as error:
            # Nothing tells what the files in the store's directory are.
            aside = os.path.join(rescue_base(), f"damaged-{session}-{path.parent.name}")
            say(f"worker {os.getpid()}: {error}; the store begins anew, and its files are set aside in {aside}")
            os.makedirs(os.path.dirname(aside), exist_ok=True)
            shutil.move(path.parent, aside)
            return cls(path, session, recording, scoped_to)

    @classmethod
    def _read(cls, source: Path, path: Path, session: str, recording: RecordingKey, scoped_to: str) -> Journal:
        """Read the journal that lies at `source`, to be saved at `path`.

        Raises
        ------
        CorruptionError
            If the file is not a journal.
        """
        journal = cls(path, session, recording, scoped_to)
        try:
            raw: dict[str, Any] = json.loads(source.read_bytes())
        except FileNotFoundError:
            return journal
        except ValueError as error:
            raise CorruptionError(f"the journal {source} cannot be read: {error}") from error
        journal.is_saved = True
        try:
            journal.is_complete = bool(raw["is_complete"])
            journal.target = SinkSpec(**raw["target"]) if raw["target"] else None
            journal.owned = [(int(device), int(number)) for device, number in raw["owned"]]
            journal.moved = [(str(named), str(actual)) for named, actual in raw.get("moved", ())]
            journal.next_number = int(raw["next_number"])
            journal.blueprint = Blueprint(*raw["blueprint"]) if raw["blueprint"] else None
            journal.completed = [WholeFile(*entry) for entry in raw["completed"]]
            journal.drops = Drops.from_json(raw["drops"])
            held = journal.held_counts.read(tuple(raw["held"]) if "held" in raw else None)
            if held is not None:
                journal.drops.take_held(held)
            journal.series = Series(**raw["series"]) if raw.get("series") else None
            journal.closed_rows = int(raw.get("closed_rows", 0))
            journal.closed = WholeFile(*raw["closed"]) if raw.get("closed") else None
            for entry in raw["parts"]:
                inode = tuple(entry.pop("inode") or ()) or None
                journal._adopt(Part(**entry, inode=inode, is_inherited=True))
            journal.follow()
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(f"the journal {source} is damaged: {error!r}") from error
        return journal

    def save(self) -> None:
        """Replace the file. If its disk is full, a later `catch_up` does it.

        The store goes on meanwhile; if the collector dies before, its successor does not know what was not saved.
        """
        text = json.dumps(
            {
                "recording": self.recording,
                "scoped_to": self.scoped_to,
                "is_complete": self.is_complete,
                "target": asdict(self.target) if self.target else None,
                "owned": self.owned,
                "moved": self.moved,
                "failure": self.failure,
                "next_number": self.next_number,
                "blueprint": self.blueprint,
                "completed": self.completed,
                "drops": self.drops.to_json(),
                "held": (self.held_counts.take_number(), self.drops.held_to_json()),
                "series": asdict(self.series) if self.series else None,
                "closed_rows": self.closed_rows,
                "closed": self.closed,
                "parts": [{name: getattr(part, name) for name in SAVED_OF_PART} for part in self.parts],
            }
        )
        fresh = self.path.with_suffix(".new")
        try:
            for path in (self.path, _copy_of(self.path)):
                fresh.write_text(text)
                os.replace(fresh, path)
        except OSError as error:
            if not self._is_behind:
                say(f"rerun_mp: {self.path} cannot be written: {error.strerror}")
            self._is_behind = True
        else:
            self.is_saved, self._is_behind = True, False

    def save_held(self) -> None:
        """Save the counts of rows that rules hold back. If the disk is full, the next call does it."""
        if self._is_behind:
            self.save()  # they may have rows that count together with a new list of parts
            return
        try:
            self.held_counts.write(self.drops.held_to_json())
        except OSError as error:
            if not self._is_behind:
                say(f"rerun_mp: the rows that rules hold back cannot be counted in {self.path.parent}: {error}")

    def catch_up(self) -> None:
        """Save again if the last save failed."""
        if self._is_behind:
            self.save()

    @property
    def written(self) -> RecordingKey:
        """The recording that the target holds: the store's own, or the one of the file that goes on."""
        if self.target is None or self.target.recording_id is None:
            return self.recording
        return self.recording._replace(recording_id=self.target.recording_id)

    def recording_of(self, series: Series) -> RecordingKey:
        """Return the recording that the parts hold."""
        return self.recording._replace(recording_id=series.recording_id or self.recording.recording_id)

    def take_number(self) -> int:
        """Return a number that no part has had."""
        self.next_number += 1
        return self.next_number - 1

    def begin_target(self, spec: SinkSpec) -> None:
        """Make `spec` the target. The store may replace what lies at its path now. The caller saves."""
        self.target = spec
        is_ours = spec.claim is None or is_claimed(spec.target, spec.claim)
        self.owned = [inode] if is_ours and (inode := inode_of(spec.target)) else []
        self._hold(hold_file(spec.target) if self.owned else None)

    def take_rules(self, specs: Iterable[SinkSpec]) -> None:
        """Take the target's rules from the sink among `specs` that is the target."""
        for spec in specs:
            if self.target is not None and spec.target == self.target.target and spec.rules != self.target.rules:
                self.target = replace(self.target, rules=spec.rules)
                self.save()

    def end_target(self) -> None:
        """Let go of the target. The caller saves."""
        self.target, self.owned = None, []
        self._hold(None)

    def owns_target(self) -> bool:
        """Whether the store may replace what lies at the target's path, or nothing lies there."""
        return self.target is not None and inode_of(self.target.target) in (None, *self.owned)

    def actual(self, spec: SinkSpec) -> SinkSpec:
        """Return the sink with the path where its file lies now, if another program has set the file aside."""
        actual = dict(self.moved).get(spec.target)
        return spec if actual is None else replace(spec, target=actual, claim=None)

    def paths(self) -> set[str]:
        """Return the path of the target, and those that it has had."""
        return {*([] if self.target is None else [self.target.target]), *(named for named, _ in self.moved)}

    def follow(self) -> None:
        """Find the target's file where another program has set it aside, and make that path the target."""
        if self.target is None or inode_of(self.target.target) in self.owned:
            return
        for path in aside_paths(self.target.target, self.session):
            inode = inode_of(path)
            if inode is not None and inode in self.owned:
                self._move(path)
                return

    def move_aside(self) -> None:
        """Make a free path beside the target the target, because the target's path belongs to another program."""
        self.follow()
        if self.target is None or self.owns_target():
            return
        free = next((path for path in aside_paths(self.target.target, self.session) if not os.path.exists(path)), None)
        if free is not None:
            self.owned = []
            self._move(free)

    def _move(self, path: str) -> None:
        assert self.target is not None
        former = self.target.target
        say(f"rerun_mp: another program has taken {former}; this recording's file is {path} now")
        for part in self.parts:
            if part.path == former and part.inode == inode_of(path):
                part.path = path
        self.moved = [*((named, path if actual == former else actual) for named, actual in self.moved), (former, path)]
        self.target = replace(self.target, target=path, claim=None)
        self._hold(hold_file(path))
        self.save()

    def _hold(self, lease: Lease | None) -> None:
        former, self._lease = self._lease, lease
        if former is not None:
            former.release()

    def place(self, part: Part) -> None:
        """Rename `part` to the target's path."""
        assert self.target is not None
        assert part.inode is not None
        target = self.target.target
        self.owned.append(part.inode)
        self.save()  # before the rename: a next life must know the file as the store's own
        lease = hold_file(part.path)  # before the rename: other programs must find the file locked
        if os.path.exists(target):
            os.chmod(part.path, stat.S_IMODE(os.stat(target).st_mode))
        move_or_copy(part.path, target)
        part.path = target
        part.inode = inode_of(target)
        self._hold(lease if not self.target.is_in_place else hold_file(target))
        # The replaced file is gone, and the kernel may give its inode to another one.
        self.owned = [part.inode] if part.inode is not None else []
        self.save()

    def hidden_path(self, target: str, number: int) -> str:
        """Return where part `number` of `target` is written: beside it, under a name that only this session uses."""
        directory, name = os.path.split(target)
        if self.target is not None and self.target.target == target and self.target.is_in_place:
            directory = str(self.path.parent)  # no file may be put beside it, or it would be no use there
        return os.path.join(directory, hidden_name(name, f"{self.session}-{number}"))

    def next_ordinal(self) -> int:
        """Return the ordinal after the last chunk of all parts."""
        return max((part.stop for part in self.parts), default=0)

    def _adopt(self, part: Part) -> None:
        """Keep a part of an earlier life if its file is still there, and count its chunks."""
        if part.inode is None:
            # The collector was killed while it created the file, so no chunk is in it.
            if os.path.isfile(part.path):
                os.unlink(part.path)
            return
        # A retired part stays where it is. If its file was removed, the kernel may have given its inode to the target.
        target = None if part.purpose == "retired" else self.target
        if target is not None and not part.exists() and inode_of(target.target) == part.inode:
            part.path = target.target  # the collector was killed after the rename and before the save
        if target is not None and not part.exists() and part.path == target.target:
            # Another program has set the file aside.
            aside = aside_paths(target.target, self.session)
            part.path = next((path for path in aside if inode_of(path) == part.inode), part.path)
        if part.is_replaced():
            self.owned = [inode for inode in self.owned if inode != part.inode]
            part.inode = NO_INODE
        if part.purpose == "retired" and not part.exists():
            return
        part.first = self.next_ordinal()
        chunks = count_chunks(part.path, part.prelude) if part.is_readable() else 0
        part.chunks = max(0, chunks - part.carried)
        self.parts.append(part)


def _copy_of(path: Path) -> Path:
    return path.with_suffix(".copy")
