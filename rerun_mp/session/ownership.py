"""Finds the session that a path belongs to, and resolves the conflict if another session wants the path.

- A path whose file a living session of another program holds is not taken: the newcomer's file gets another name, and
  both programs are told.
- A file of a session that was killed, or that is still being completed after its program's end, is set aside beside the
  path before the path is taken. Its collector, or the recovery that this module starts, finds it there by its inode and
  completes it. The newcomer names the file.
- Every other file is replaced, as rerun does.

A session's configuration and journals, in its directories, name its paths and the inodes of its files. Sessions whose
directories this process cannot see are known by the lock on the file alone (`file_claims`). Any thread may call.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from rerun_mp.errors import RerunMpError, ResourceError
from rerun_mp.session import directories, leftovers, recovery_notes
from rerun_mp.session.config_file import read_config_in
from rerun_mp.session.file_claims import HeldError, aside_paths, claim_beside, claim_file
from rerun_mp.session.notices import leave_notice, say
from rerun_mp.session.origin import has_participants
from rerun_mp.session.waiting import pause_length, wait_until
from rerun_mp.shm.interruptions import suppress_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rerun_mp.session.file_claims import Claim
    from rerun_mp.shm.segment import Segment

__all__ = [
    "BusyError",
    "Owner",
    "Taken",
    "await_completion",
    "await_former_owners",
    "busy",
    "failures",
    "take_path",
    "tell_of_beside",
]

RECOVERY_SECS = 20.0
"""Maximum seconds to wait until the rows of a killed run are in their file. The recovery goes on after that."""

SETTLE_SECS = 2.0
"""Maximum seconds until the journal of a session without a program names the file that it has put at a path."""


class BusyError(ResourceError):
    """A living program writes the file that a sink is to add to."""


def busy(path: str) -> BusyError:
    """Return the error for a file that another program writes."""
    return BusyError(
        f"{path} is being written by another program; add to it when that program has ended, or give another path"
    )


class Owner(NamedTuple):
    """Another session that names a path as that of a file of its own."""

    name: str
    """Name of its directories: the beginning of its nonce."""
    runtime_directory: str
    spool_directory: str
    inodes: frozenset[tuple[int, int]]
    """Inodes at the path that are the session's."""

    @property
    def is_living(self) -> bool:
        """Whether a program takes part in it."""
        return has_participants(self.spool_directory)

    @property
    def is_gone(self) -> bool:
        """Whether it has been completed and removed."""
        return not os.path.exists(self.spool_directory) and not os.path.exists(self.runtime_directory)


class Taken(NamedTuple):
    """A path that this session has claimed."""

    path: str
    claim: Claim
    former: tuple[Owner, ...] = ()
    """Sessions without a program that name the path. Their rows come into files beside it."""
    recovered: str | None = None
    """A file of a killed run, which had been recovered before, and is set aside now."""


def take_path(segment: Segment, path: str) -> Taken:
    """Claim `path`, or the next free name beside it if another program writes there.

    What an earlier session has written to the path is set aside if that session is not complete. The caller may hold
    the CONFIG lock of its session; `await_former_owners` does the rest after that.

    Raises
    ------
    OSError
        If no file can be put there.
    """
    own = segment.nonce.hex()[:16]
    recovered: str | None = None
    deadline = time.monotonic() + SETTLE_SECS
    for attempt in count():
        owners = [owner for owner in _owners_of(path) if owner.name != own]
        inode = _inode(path)
        holder = next((owner for owner in owners if inode in owner.inodes and owner.is_living), None)
        if holder is not None:
            break
        former = tuple(owner for owner in owners if not owner.is_living)
        for owner in former:
            if inode is not None and inode in owner.inodes:
                _set_aside(path, inode, owner.name)
        if inode is not None:
            recovered = _set_recovered_aside(path) or recovered
        with contextlib.suppress(HeldError):
            return Taken(path, claim_file(path, own[:8], force=False), former, recovered)
        # The collector of a run that was killed may be putting its next file there. Another look knows this file.
        if not former or time.monotonic() > deadline:
            break
        time.sleep(pause_length(attempt))
    beside, claim = claim_beside(path)
    tell_of_beside(path, beside, holder)
    return Taken(beside, claim)


def await_completion(segment: Segment, path: str) -> None:
    """Wait, for a bounded time, until the file at `path` has the rows of the earlier sessions that name it.

    Raises
    ------
    BusyError
        If a living program writes the file.
    ResourceError
        If the rows are not all in it in time.
    """
    own = segment.nonce.hex()[:16]
    owners = [owner for owner in _owners_of(path) if owner.name != own]
    holder = next((owner for owner in owners if owner.is_living and _inode(path) in owner.inodes), None)
    if holder is not None:
        raise busy(path)
    former = [owner for owner in owners if not owner.is_living]
    if former:
        _recover(former)
    if not wait_until(lambda: all(owner.is_gone for owner in former), RECOVERY_SECS):
        raise ResourceError(
            f"{path} is the file of a run that was killed, and after {RECOVERY_SECS:g} s its rows are not all in it; "
            "`rerun-mp recover` says why"
        )


def _recover(former: Iterable[Owner]) -> list[Owner]:
    """Start the recovery of the killed sessions among these, and return those that it will complete."""
    left = {one.name: one for one in leftovers.find_leftovers()[0]}
    certain = [owner for owner in former if owner.name not in left or left[owner.name].is_certain]
    if any(owner.name in left for owner in certain):
        with suppress_own(OSError):
            leftovers.start_recovery()
    return certain


def await_former_owners(taken: Taken) -> None:
    """Wait, for a bounded time, until the rows of earlier sessions are in their files, and name these files."""
    if taken.recovered is not None:
        say(f"{taken.path} was the file of a run that was killed; it is {taken.recovered} now")
    if not taken.former:
        return
    certain = _recover(taken.former)
    wait_until(lambda: all(owner.is_gone for owner in certain), RECOVERY_SECS)
    for owner in taken.former:
        aside = aside_paths(taken.path, owner.name[:8])
        files = [path for path in aside if path != taken.recovered and os.path.exists(path)]
        if files:
            state = "its rows are" if owner.is_gone else "its rows so far are"
            advice = (
                ""
                if owner.is_gone
                else "; the rest follows"
                if owner in certain
                else "; it ran in another container, and `rerun-mp recover` adds what is missing"
            )
            say(f"{taken.path} was the file of a run that was killed; {state} in {', '.join(files)}{advice}")


def failures(spool_directory: str) -> list[str]:
    """Return why files of a session could not be completed, as its journals say."""
    found = []
    for raw in _journals(spool_directory):
        with suppress_own(KeyError, TypeError):
            if not raw["is_complete"] and raw["failure"]:
                found.append(str(raw["failure"]))
    return found


def _set_aside(path: str, inode: tuple[int, int], name: str) -> str | None:
    """Rename the file at `path`, if it holds anything, to the name under which its session looks for it."""
    for aside in aside_paths(path, name[:8]):
        with suppress_own(OSError):
            if os.path.exists(aside):
                continue
            if not os.path.getsize(path):
                return None
            try:
                os.rename(path, aside)
            except OSError:
                import shutil  # see `directories.remove_tree`

                shutil.copyfile(path, aside)  # a file that is mounted at the path
                return aside
            if _inode(aside) != inode:
                os.rename(aside, path)  # another program was faster
                return None
            return aside
    return None


def _set_recovered_aside(path: str) -> str | None:
    name = recovery_notes.take(path)
    inode = _inode(path)
    return None if name is None or inode is None else _set_aside(path, inode, name)


def tell_of_beside(wanted: str, taken: str, holder: Owner | None = None) -> None:
    """Tell both programs that they want the same path, if `holder`, the other one's session, is known."""
    say(f"{wanted} is being written by another program; the rows of this one go to {taken}")
    if holder is not None:
        text = f"another program, process {os.getpid()}, wanted {wanted} too; its rows go to {taken}"
        leave_notice(holder.runtime_directory, text)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _owners_of(path: str) -> Iterator[Owner]:
    """Yield the sessions whose configuration or journals name `path`, and that are not complete."""
    runtime_base, spool_base = directories.runtime_base(), directories.spool_base()
    for name in sorted({*directories.session_names(runtime_base), *directories.session_names(spool_base)}):
        runtime, spool = os.path.join(runtime_base, name), os.path.join(spool_base, name)
        inodes: set[tuple[int, int]] = set()
        complete: set[tuple[str, ...]] = set()
        is_named = False
        for raw in _journals(spool):
            with suppress_own(KeyError, TypeError, ValueError):
                if raw["is_complete"]:
                    complete.add(tuple(raw["recording"]))
                elif raw["target"] and raw["target"]["target"] == path:
                    is_named = True
                    inodes |= {(int(device), int(number)) for device, number in raw["owned"]}
        with suppress_own(OSError, RerunMpError):
            for recording in read_config_in(runtime, spool).recordings:
                for sink in recording.sinks if tuple(recording.key) not in complete else ():
                    if sink.kind == "file" and sink.target == path:
                        is_named = True
                        inodes |= {sink.claim[:2]} if sink.claim is not None else set()
        if is_named:
            yield Owner(name, runtime, spool, frozenset(inodes))


def _journals(spool: str) -> Iterator[Any]:
    try:
        names = os.listdir(spool)
    except OSError:
        return
    for name in names:
        with suppress_own(OSError, ValueError), open(os.path.join(spool, name, "journal.json"), "rb") as file:
            yield json.load(file)
