"""How the parts of a target become the one complete file that the user asked for.

- If one whole part lies at the user's path, nothing is copied.
- Several parts, or one without its footer, are copied as a stream into a new file that leaves out repeated chunk ids.
  The new file is renamed to the path, unless another program has put a file there since: the later run has the path.
  The rows then go to a path beside it (`file_claims.aside_paths`). If no file can be written there either, a recovery
  writes the rows to another path.
- A path that is not a regular file (a device, a pipe) received its rows directly. It is never renamed over.

The collector may be killed at any point here. The journal names the new file before the file gets the path, and the
next completion removes what is left under hidden names. Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Callable
from dataclasses import replace

from rerun_mp.collector.messages import say
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.file_rules import BacklogRules
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.other_recordings import chunks_of, with_others
from rerun_mp.collector.store.part_writer import open_part
from rerun_mp.collector.store.parts import Part, inode_of
from rerun_mp.collector.store.rerun_files import merge
from rerun_mp.errors import CorruptionError, FlushTimeoutError, ResourceError
from rerun_mp.session.config import SinkSpec, WholeFile

__all__ = ["Completion"]

CLOSE_SECS = 30.0
"""Maximum seconds to close the merged file."""


class Completion:
    """Completes the target of a journal.

    Parameters
    ----------
    journal
        The store's journal. Its writer is closed.
    lock
        Held while the journal's list of parts changes.
    rules
        For chunks that came before the file and are not in it yet.
    give_up
        Counts the rows of a part that cannot be brought into the target.
    otherwise
        Path of a file for the rows if the target cannot be written.
    """

    def __init__(
        self,
        journal: Journal,
        lock: threading.Lock,
        rules: BacklogRules,
        give_up: Callable[[Part], None],
        otherwise: str | None,
    ) -> None:
        self._journal = journal
        self._lock = lock
        self._rules = rules
        self._give_up = give_up
        self._otherwise = otherwise

    def run(self, *, is_final: bool) -> None:
        """Complete the target. If `is_final`, let go of it; else the complete file becomes its first part.

        Raises
        ------
        ResourceError, FlushTimeoutError
            If the file cannot be written. All parts are still there, and the next run tries again.
        """
        journal, target, otherwise = self._journal, self._journal.target, self._otherwise
        assert target is not None
        try:
            self._complete(target, is_final=is_final)
        except (ResourceError, FlushTimeoutError) as error:
            if otherwise is None or target.target == otherwise:
                raise
            say(f"rerun_mp: {error}")
            os.makedirs(os.path.dirname(otherwise), exist_ok=True)
            hidden = self._hidden_files(target)
            other = SinkSpec("file", otherwise, write_footer=target.write_footer, blueprint=target.blueprint)
            journal.begin_target(other)
            journal.save()
            self._otherwise = None
            self._complete(other, is_final=True)
            for path in glob.glob(hidden):
                os.unlink(path)

    def _complete(self, target: SinkSpec, *, is_final: bool) -> None:
        journal = self._journal
        if not disks.is_special(target.target):
            journal.move_aside()
            assert journal.target is not None
            target = journal.target
        parts = [part for part in journal.parts if part.purpose in ("file", "diverted")]
        if disks.is_special(target.target):
            if not is_final:
                return
            for part in parts:
                if part.purpose == "diverted":
                    self._give_up(part)
            whole = None
        else:
            adds_nothing = target.is_added_to and not any(part.chunks for part in parts)
            whole = None if adds_nothing else self._with_others(target, self._whole_part(target, parts))
        with self._lock:
            journal.parts = [part for part in journal.parts if part not in parts]
            if whole is not None:
                journal.parts.append(whole)
        self._rules.count()
        journal.save()
        if whole is not None:
            self._publish(target, whole)
            if is_final:
                whole.purpose = "retired"
        self._remove_hidden(target, kept=None if is_final else whole)
        for part in parts:
            if part.purpose == "diverted":
                part.unlink()
        if is_final:
            journal.completed = _completed(target, whole)
            journal.end_target()
        journal.save()

    def _hidden_files(self, target: SinkSpec) -> str:
        """Return the glob pattern of the session's hidden files beside the target's path."""
        return glob.escape(self._journal.hidden_path(target.target, 0)[:-1]) + "*"

    def _remove_hidden(self, target: SinkSpec, *, kept: Part | None) -> None:
        former = (replace(target, target=named) for named, actual in self._journal.moved if actual == target.target)
        for one in (target, *former):
            for path in glob.glob(self._hidden_files(one)):
                if kept is None or path != kept.path:
                    os.unlink(path)

    def _whole_part(self, target: SinkSpec, parts: list[Part]) -> Part | None:
        """Return a complete part with the chunks of all `parts`, wherever it lies; None if there are none."""
        is_one = len(parts) == 1 and parts[0].purpose == "file" and _needs_no_copy(parts[0], target)
        if is_one and (parts[0].path == target.target or not self._resumes(target)):
            return parts[0]
        return self._merge(target, parts) if parts else None

    def _merge(self, target: SinkSpec, parts: list[Part]) -> Part:
        """Return a new part, still under its hidden name, that holds each chunk of `parts` once."""
        number = self._journal.take_number()
        path = self._journal.hidden_path(target.target, number)
        whole = Part(number, path, "file", first=parts[0].first, chunks=parts[-1].stop - parts[0].first)
        if not os.path.isdir(os.path.dirname(target.target)):
            raise ResourceError(f"{target.target} has no directory any more")
        resumes = self._resumes(target)
        former_bytes = os.path.getsize(target.target) if resumes else 0
        if not disks.has_room(path, sum(part.size() for part in parts) + former_bytes):
            raise ResourceError(f"too little space is left to complete {target.target}")
        writer = open_part(whole, self._journal, target)
        try:
            seen: set[int] = set()
            if resumes:
                hidden = self._journal.hidden_path(target.target, self._journal.take_number())
                merge([chunks_of(target.target, self._journal.written, hidden)], writer, seen)
                whole.carried += len(seen)
            whole.repeated = merge(map(self._rules.kept, parts), writer, seen) + self._rules.left_out
            writer.close(CLOSE_SECS)
            whole.is_ended = True
        except (FlushTimeoutError, CorruptionError, OSError) as error:
            writer.abandon()
            whole.unlink()
            raise ResourceError(f"{target.target} could not be completed: {error}") from error
        return whole

    def _with_others(self, target: SinkSpec, whole: Part | None) -> Part | None:
        """Return a complete part that also holds the other recordings of the file at the target's path."""
        journal = self._journal
        if whole is None or not whole.is_readable() or whole.path == target.target or not self._keeps_file(target):
            return whole
        if not disks.has_room(whole.path, whole.size() + os.path.getsize(target.target)):
            raise ResourceError(f"too little space is left to complete {target.target}")
        hidden = journal.hidden_path(target.target, journal.take_number())
        has_blueprint = target.blueprint is not None or journal.blueprint is not None
        try:
            return with_others(
                target.target,
                whole,
                journal.written,
                hidden,
                write_footer=target.write_footer,
                keeps_blueprints=not has_blueprint,
            )
        except (CorruptionError, OSError) as error:
            raise ResourceError(f"{target.target} could not be completed: {error}") from error

    def _resumes(self, target: SinkSpec) -> bool:
        """Whether the recording goes on in the file at the target's path."""
        return target.mode == "resume" and self._keeps_file(target)

    def _keeps_file(self, target: SinkSpec) -> bool:
        """Whether the sink keeps the recordings of the file at the target's path, and that file still lies there."""
        path = target.target
        return target.is_added_to and inode_of(path) in self._journal.owned and os.path.getsize(path) > 0

    def _publish(self, target: SinkSpec, whole: Part) -> None:
        """Bring a complete part to the target's path."""
        if whole.path != target.target and whole.exists():
            with self._lock:  # a reader must find it in one of the two places
                self._place(whole)

    def _place(self, whole: Part) -> None:
        journal = self._journal
        journal.move_aside()  # another program may have taken the path while the parts were merged
        assert journal.target is not None
        is_aside = journal.target.target in (actual for _, actual in journal.moved)
        if is_aside and not os.path.exists(journal.target.target) and not whole.holds_rows():
            whole.unlink()
        else:
            journal.place(whole)


def _completed(target: SinkSpec, whole: Part | None) -> list[WholeFile]:
    """Return what lies now at the path of a target, if it is the complete part."""
    if whole is None or whole.path != target.target or not whole.exists():
        return []
    found = WholeFile.at(target.target, whole.prelude, whole.digest)
    return [] if found is None else [found]


def _needs_no_copy(part: Part, target: SinkSpec) -> bool:
    # A file that the user moved away is complete at its new place.
    return part.is_whole(with_footer=target.write_footer) or not os.path.exists(part.path)
