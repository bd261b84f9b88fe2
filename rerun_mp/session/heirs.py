"""Heirs: processes that were started in a session and join after its end. Their rows go into its recordings.

When a session ends while living processes still name it, it leaves a *note* in `heirs` below the base of the runtime
directories: its configuration, when it ended, and the files that it has completed. A process that was started before
that moment is an heir. So is a rank whose launcher was started before, and starts ranks anew. The first heir founds a
session that *continues* the ended one: it has the same key, root and recordings. If the file is still the one that the
ended session completed, the heir adds its rows there; otherwise it writes to another file beside it. Viewers are
connected again.

A note lies in a private directory. The next session that ends removes notes whose sessions no process can still name.
Any process and thread may call.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, segment_name
from rerun_mp.errors import RerunMpError
from rerun_mp.session import directories, jobs
from rerun_mp.session.config import NODE_OWNER, SessionConfig, SinkSpec, WholeFile
from rerun_mp.session.file_claims import claim_beside, claim_file, claim_first, hold_file
from rerun_mp.session.kinship import boot_id, environment_of, own_processes, pid_namespace, start_ticks
from rerun_mp.session.rotation import part_paths
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rerun_mp.shm.leases import Lease
    from rerun_mp.shm.segment import Segment

__all__ = ["Note", "continued", "find_note", "has_note", "may_restart", "remove_note", "write_note"]

DIRECTORY = "heirs"
MAX_NOTES = 64
"""Maximum number of notes that are kept; older ones are removed."""
MAX_AGE_SECS = 7 * 24 * 3600.0
"""Age beyond which a note is removed."""


_held: list[Lease | None] = []
"""This process's locks on the files that it continues. A forked child has them too."""


@dataclass(frozen=True, slots=True)
class Note:
    """What an ended session leaves for its heirs."""

    segment: str
    """File name of the session's segment while it lived."""
    root: bytes
    boot: str
    """Id of the boot that `ended` counts from."""
    ended: int
    """When the session ended, in the unit of `kinship.start_ticks`."""
    processes: str
    """The namespace of process ids that the session saw, or ""."""
    spool: str
    """The session's spool directory, which is gone."""
    config: SessionConfig
    files: tuple[WholeFile, ...]
    """Its complete files."""

    def names_as_heir(self, *pids: int) -> bool:
        """Say whether one of these processes was started before the session's end."""
        return self.boot == boot_id() and any(0 < start_ticks(pid) <= self.ended for pid in pids)


def write_note(segment: Segment, config: SessionConfig, files: Iterable[WholeFile], ended: int) -> None:
    """Leave a note of a session that ends, in place of the one before. Parameters as the fields of `Note`.

    Raises
    ------
    OSError, ResourceError
        If it cannot be written.
    """
    directory = _directory_of(segment)
    text = json.dumps(
        {
            "root": segment.root.hex(),
            "boot": boot_id(),
            "ended": ended,
            "processes": pid_namespace(),
            "spool": segment.spool_directory,
            "config": config.to_json(),
            "files": list(files),
        }
    )
    name = _name_of(os.path.basename(segment.living_path), segment.root)
    directories.replace_file(directory, name, text)
    _remove_old(directory, name)


def may_restart(config: SessionConfig) -> bool:
    """Say whether the launcher lives that starts the ranks of this session anew."""
    return config.restarter is not None and start_ticks(config.restarter[0]) == config.restarter[1]


def has_note(segment: Segment) -> bool:
    """Say whether a session has left a note."""
    name = _name_of(os.path.basename(segment.living_path), segment.root)
    return os.path.exists(os.path.join(_directory_of(segment), name))


def remove_note(segment: Segment) -> None:
    """Remove the note of a session, if there is one, and old notes of others. Nothing of them is left at the end."""
    directory = _directory_of(segment)
    name = _name_of(os.path.basename(segment.living_path), segment.root)
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(directory, name))
    _remove_old(directory, name)
    with contextlib.suppress(OSError):
        os.rmdir(directory)


def find_note(name: str, root: bytes = b"") -> Note | None:
    """Return the note of the session whose segment had this name, and with this root; without a root, the latest."""
    found = [note for directory in _places() for note in _notes_in(directory, _name_of(name, root))]
    return max(found, key=lambda note: note.ended, default=None)


def continued(note: Note) -> SessionConfig:
    """Return the configuration of a session that continues an ended one. Says which files it does not add to."""
    files = {one.path: one for one in note.files}
    taken: dict[str, SinkSpec | None] = {}

    def sink_after(sink: SinkSpec) -> SinkSpec | None:
        if sink.owner == NODE_OWNER:
            return None  # the part is closed
        if sink.kind != "file":
            return sink
        if sink.rotation is not None:
            return _rotating_after(sink)
        if sink.target not in taken:
            taken[sink.target] = _file_after(sink, files.get(sink.target), note.spool)
        one = taken[sink.target]
        if one is None:
            return None
        if sink.is_added_to and one.continues is not None:
            # The file may have other recordings, so it is no part of a store.
            return replace(sink, claim=one.claim, mode="resume", checkpoints=0)
        return replace(sink, target=one.target, claim=one.claim, continues=one.continues, mode="new")

    recordings = tuple(
        replace(spec, sinks=tuple(after for sink in spec.sinks if (after := sink_after(sink)) is not None))
        for spec in note.config.recordings
    )
    return replace(note.config, recordings=recordings)


def _file_after(sink: SinkSpec, whole: WholeFile | None, spool: str) -> SinkSpec | None:
    """Return the sink of a session that continues a session with this file sink.

    None: the file was for that session alone.
    """
    if whole is not None and whole.is_unchanged():
        # Programs that want the path must find its file locked, also before the collector has begun.
        _held.append(hold_file(whole.path))
        return replace(sink, claim=whole.claim, continues=whole, checkpoints=0)
    if sink.target.startswith(spool + os.sep) or (os.path.exists(sink.target) and not os.path.isfile(sink.target)):
        return None
    path = sink.target
    try:
        if os.path.lexists(path):
            path, claim = claim_beside(path)
        else:
            claim = claim_file(path, os.urandom(4).hex())
    except OSError as error:
        _say(
            f"no file can be put at or beside {path} ({error.strerror}); rows that come after the end of its session "
            "are not there"
        )
        return None
    _say(f"{sink.target} has been replaced since its session completed it; later rows of its recording go to {path}")
    return replace(sink, target=path, claim=claim, continues=None, checkpoints=0)


def _rotating_after(sink: SinkSpec) -> SinkSpec | None:
    """Return the sink of a session that goes on with further parts of a file that rotates. None: it has no room."""
    assert sink.wanted is not None
    try:
        path, claim = claim_first(path for _, path in part_paths(sink.wanted))
    except OSError as error:
        _say(
            f"no part of {sink.wanted} can be written ({error.strerror}); rows that come after the end of its session "
            "are not there"
        )
        return None
    return replace(sink, target=path, claim=claim, episodes=0, checkpoints=0)


def _say(text: str) -> None:
    tell(f"rerun_mp: {text}.\n")


def _name_of(name: str, root: bytes) -> str:
    return f"{name}-{root.hex()}.json" if root else f"{name}-"


def _directory_of(segment: Segment) -> str:
    return os.path.join(os.path.dirname(segment.runtime_directory), DIRECTORY)


def _places() -> list[str]:
    """Return where notes may lie: an heir's environment may name other directories than its session's founder had."""
    user = os.geteuid()
    others = [f"{above}/rerun_mp-{user}" for above in ("/tmp", directories.MEMORY)]
    bases = (directories.runtime_base(), f"/run/user/{user}/rerun_mp", *others)
    return [os.path.join(base, DIRECTORY) for base in dict.fromkeys(bases)]


def _notes_in(directory: str, beginning: str) -> Iterator[Note]:
    names: list[str] = []
    with contextlib.suppress(OSError):
        status = os.stat(directory)
        if status.st_uid == os.geteuid() and not status.st_mode & 0o077:
            names = [name for name in os.listdir(directory) if name.startswith(beginning) and name.endswith(".json")]
    for name in names:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RerunMpError):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                raw: dict[str, Any] = json.load(file)
            yield Note(
                name.rpartition("-")[0],
                bytes.fromhex(raw["root"]),
                str(raw["boot"]),
                int(raw["ended"]),
                str(raw["processes"]),
                str(raw["spool"]),
                SessionConfig.from_json(raw["config"]),
                tuple(WholeFile(*entry) for entry in raw["files"]),
            )


def _remove_old(directory: str, own: str) -> None:
    """Remove notes beyond the bounds of age and number, and those that no process can use any more, but not `own`."""
    ages: list[tuple[float, str]] = []
    with contextlib.suppress(OSError):
        for entry in os.scandir(directory):
            with contextlib.suppress(OSError):
                if entry.name != own:
                    ages.append((time.time() - entry.stat().st_mtime, entry.path))
    if not ages:
        return
    named = _named_sessions()
    here = pid_namespace()
    for number, (age, path) in enumerate(sorted(ages)):
        is_used = all(
            note.boot == boot_id()
            and (
                note.processes != here or note.root.hex() in named or note.segment in named or may_restart(note.config)
            )
            for note in _notes_in(directory, os.path.basename(path))
        )
        if number >= MAX_NOTES or age > MAX_AGE_SECS or not is_used:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _named_sessions() -> set[str]:
    """Return the roots that environments of living processes name, and the segments of the jobs of living ranks."""
    found = set()
    for pid in own_processes():
        environment = environment_of(pid)
        found.add(environment.get(ENVIRONMENT_VARIABLE, "").partition("-")[2])
        job = jobs.job_of(environment, pid) if jobs.may_be_rank(environment) else None
        if job is not None:
            found.add(segment_name(jobs.key_of(job)))
    return found
