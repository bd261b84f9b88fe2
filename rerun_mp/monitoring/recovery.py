"""After the worst: everything of a session killed at once, its collector included.

What its rows need is a collector, and nothing else: it goes on exactly where the killed one was, waits for nobody,
completes the files and removes everything. So a recovery starts an ordinary one for each session in which nobody lives
(`leftovers`), after it has said in the session's configuration where rows without a file are to go. Where the segment
is gone too (a restart of the machine), what had reached the disk is brought into its file from the spool.

`python -m rerun_mp recover` calls this, and whoever founds a session starts that (`leftovers`). A live session is never
touched. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.errors import RerunMpError, SessionEndedError
from rerun_mp.session import collector_start, directories
from rerun_mp.session.config_file import read_config, write_config
from rerun_mp.session.waiting import Backlog, Patience, Progress, wait_until
from rerun_mp.shm import doorbell, leases, segment
from rerun_mp.shm.layout import Header, Lock, SessionState

if TYPE_CHECKING:
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.leftovers import LeftoverSession
    from rerun_mp.shm.segment import Segment

__all__ = ["Inspection", "files_of", "inspect", "recover"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What can be said of a left session without changing anything."""

    pids: list[int]
    """Processes that logged or collected when they were killed, and are gone."""
    num_bytes: int
    """Of memory and disk."""
    age_secs: float
    """Since the session began, or since its spool was last written to where that is not known."""
    rows: Counter[RecordingKey] = field(default_factory=Counter)
    """Undelivered rows by recording. Some may be in the file already; none will be there twice."""
    files: dict[RecordingKey, list[str]] = field(default_factory=dict)
    """Where each recording was being saved to."""


def inspect(left: LeftoverSession) -> Inspection:
    """Look into a left session. Reads all of its rows, and changes nothing.

    Raises
    ------
    RerunMpError
        If it cannot be read, or is gone.
    """
    from rerun_mp.collector.store.parts import spooled_rows, stored_targets

    spool = Path(left.spool_directory)
    num_bytes = sum(_tree_bytes(Path(path)) for path in (left.spool_directory, left.runtime_directory))
    rows = spooled_rows(spool)
    if left.segment_path is None:
        targets = stored_targets(spool)
        touched = max((path.stat().st_mtime for path in (spool, *spool.rglob("*"))), default=time.time())
        return Inspection([], num_bytes, time.time() - touched, rows, targets)

    from rerun_mp.collector.drain.sweep import Sweeper
    from rerun_mp.session.accounts import read_accounts

    looked = segment.attach(left.segment_path, participate=False, shared=False)
    if looked is None:
        raise _gone(left)
    words = looked.ring.words
    num_bytes += os.stat(left.segment_path).st_blocks * 512
    pids = [account.pid for account in read_accounts(looked) if account.is_live]
    pids += [words[Header.GUARD_PID], words[Header.WORKER_PID]]
    targets = stored_targets(spool)
    for spec in read_config(looked).recordings:
        targets[spec.key] = [sink.target for sink in spec.sinks if sink.kind == "file"] or targets.get(spec.key, [])
    waiting: Counter[RecordingKey] = Counter()
    for (_, key), number in Sweeper(looked).waiting_rows().items():
        waiting[key] += number
    return Inspection(
        [pid for pid in pids if pid],
        num_bytes,
        time.time() - words[Header.CREATED_NS] / 1e9,
        rows + waiting,
        targets,
    )


def _tree_bytes(path: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())


def _gone(left: LeftoverSession) -> RerunMpError:
    return SessionEndedError(f"session {left.name} is gone, or somebody lives in it by now")


# ---- recovering ----------------------------------------------------------------------------------------------------


def recover(left: LeftoverSession, rescue_directory: str | None = None, *, timeout: float | None = None) -> str | None:
    """Bring what a left session has into its files and remove the rest. Waits until that is done.

    Returns why it is not, or not wholly, done; None if it is.

    Parameters
    ----------
    left
        From `find_leftovers`. If somebody lives in it by now, it is left alone.
    rescue_directory
        Where rows go that have no file. By default `directories.rescue_base()`.
    timeout
        Seconds to wait for its collector, which goes on in any case. None waits for as long as it takes.
    """
    rescue = os.path.abspath(rescue_directory or directories.rescue_base())
    try:
        if left.segment_path is None:
            return _recover_spool(left, rescue)
        return _recover_segment(left, left.segment_path, rescue, timeout)
    except (RerunMpError, OSError) as error:
        return str(error)


def files_of(
    left: LeftoverSession, inspection: Inspection, rescue_directory: str | None = None
) -> dict[RecordingKey, list[str]]:
    """Return in which files the rows of each recording are, once the session has been recovered."""
    files = {}
    rescue = os.path.abspath(rescue_directory or directories.rescue_base())
    for key in sorted({*inspection.rows, *inspection.files}):
        # Its name is this session's alone: if it is there, that is where the rows are.
        aside = directories.rescue_path(rescue, *key, bytes.fromhex(left.name))
        files[key] = [aside] if os.path.exists(aside) else inspection.files.get(key, [])
    return files


def _recover_segment(left: LeftoverSession, path: str, rescue: str, timeout: float | None) -> str | None:
    joined = segment.attach(path, participate=False)
    if joined is None or joined.nonce.hex()[:16] != left.name:
        raise _gone(left)
    words = joined.ring.words
    _say_where_to(joined, rescue)

    def is_over() -> bool:
        return words[Header.SESSION_STATE] == SessionState.ENDED or not _is_there(joined) or _is_shared(joined)

    progress = Progress("recovering")
    patience = Patience("recovering; press Ctrl-C again to leave that to the collector, which goes on")

    def meanwhile() -> None:
        with contextlib.suppress(RerunMpError):
            collector_start.ensure_collector(joined)
        if os.path.exists(joined.living_path) or os.path.exists(joined.ending_path):
            progress.update(Backlog.of(joined.ring, joined.ring.pending()))

    try:
        meanwhile()
        if not wait_until(is_over, timeout, meanwhile=meanwhile, patience=patience):
            return (
                f"its collector is not done after {timeout:g} s; it goes on, its log is in {joined.runtime_directory}"
            )
    finally:
        progress.close()
    if _is_there(joined):
        return "somebody has joined it, and its collector serves them now"
    if os.path.isdir(joined.spool_directory):
        return f"a file could not be written; its rows stay in {joined.spool_directory}"
    return None


def _say_where_to(joined: Segment, rescue: str) -> None:
    """Say in the session's configuration where rows without a file are to go."""
    try:
        descriptor = joined.open(is_ending=True)
    except RerunMpError:
        return
    try:
        if leases.is_held(descriptor, Lock.BASE, Lock.LIVES) or not leases.try_lock(descriptor, Lock.CONFIG):
            return
        config = read_config(joined)
        revision = joined.ring.words[Header.CONFIG_REVISION] + 1
        write_config(joined, replace(config, revision=revision, rescue_directory=rescue))
        joined.ring.words[Header.CONFIG_REVISION] = revision
    finally:
        os.close(descriptor)


def _is_there(joined: Segment) -> bool:
    try:
        os.close(joined.open(is_ending=True))
    except RerunMpError:
        return False
    return True


def _is_shared(joined: Segment) -> bool:
    try:
        descriptor = joined.open(is_ending=True)
    except RerunMpError:
        return False
    try:
        return leases.is_shared(descriptor, Lock.PARTICIPANTS)
    finally:
        os.close(descriptor)


def _recover_spool(left: LeftoverSession, rescue: str) -> str | None:
    """Do for a session without a segment what the end of a collector does."""
    from rerun_mp.collector.store.parts import remove_complete, stored_recordings
    from rerun_mp.collector.store.recording_store import RecordingStore

    spool, nonce = Path(left.spool_directory), bytes.fromhex(left.name)
    problem = None
    if spool.is_dir():
        lease = directories.hold(left.spool_directory)
        if lease is None:
            raise _gone(left)
        try:
            for key, scoped_to in stored_recordings(spool):
                place = None if scoped_to else directories.rescue_path(rescue, *key, nonce)
                try:
                    RecordingStore(key, spool, nonce, scoped_to=scoped_to).complete(place)
                except (RerunMpError, OSError) as error:
                    problem = f"{error}; its rows stay in {spool}"
            if remove_complete(spool):
                directories.remove_tree(left.spool_directory)
        finally:
            os.close(lease)
    doorbell.remove(nonce)
    directories.remove_tree(left.runtime_directory)
    return problem
