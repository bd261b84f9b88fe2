"""Recovers leftover sessions: all their processes were killed, the collectors included.

The rows of such a session need only a collector: it goes on where the killed one stopped, completes the files and
removes the session. So a recovery names, in the session's configuration, the directory for rows without a file, then
starts an ordinary collector. Where the segment is gone too (after a restart of the machine), it completes the files
from the spool, which holds the rows that had reached the disk.

`python -m rerun_mp recover` calls this, and a founder starts that command (`leftovers`). A live session is never
changed. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.errors import CollectorError, RerunMpError, SessionEndedError
from rerun_mp.session import directories
from rerun_mp.session.collector_watch import CollectorWatch
from rerun_mp.session.config import SessionConfig
from rerun_mp.session.config_file import find_config, read_config_in, write_config
from rerun_mp.session.file_claims import aside_paths
from rerun_mp.session.node import close_parts, note_end, open_directory, place_of_part, remove_open_directory
from rerun_mp.session.participants import Participants
from rerun_mp.session.waiting import Backlog, Patience, Progress, pause_length, wait_until
from rerun_mp.shm import doorbell, leases, segment
from rerun_mp.shm.layout import Header, Lock, SessionState

if TYPE_CHECKING:
    from rerun_mp.encoding.frames import RecordingKey
    from rerun_mp.session.config import NodeSpec
    from rerun_mp.session.leftovers import LeftoverSession
    from rerun_mp.shm.segment import Segment

__all__ = ["Inspection", "files_of", "inspect", "recover", "targets_of"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """A leftover session as it was found."""

    pids: list[int]
    """Ids of the killed processes: producers, guard and worker."""
    num_bytes: int
    """Bytes in memory and on disk."""
    age_secs: float
    """Seconds since the session began; without a segment, since its spool was last written."""
    rows: Counter[RecordingKey] = field(default_factory=Counter)
    """Rows by recording that the recovery will deliver. Some may be in the file already; none will be there twice."""
    files: dict[RecordingKey, list[str]] = field(default_factory=dict)
    """The files of each recording."""


def inspect(leftover: LeftoverSession) -> Inspection:
    """Read a leftover session, all its rows included, and change nothing.

    Raises
    ------
    RerunMpError
        If the session cannot be read, or is gone.
    """
    from rerun_mp.collector.store.spools import spooled_rows, stored_targets

    spool = Path(leftover.spool_directory)
    num_bytes = sum(_tree_bytes(Path(path)) for path in (leftover.spool_directory, leftover.runtime_directory))
    if leftover.segment_path is None:
        rows = spooled_rows(spool)
        targets = stored_targets(spool)
        touched = max((path.stat().st_mtime for path in (spool, *spool.rglob("*"))), default=time.time())
        return Inspection([], num_bytes, time.time() - touched, rows, targets)

    from rerun_mp.collector.drain.sweep import Sweeper
    from rerun_mp.session.accounts import read_accounts

    looked = segment.attach(leftover.segment_path, participate=False, shared=False)
    if looked is None:
        raise _gone(leftover)
    words = looked.ring.words
    num_bytes += os.stat(leftover.segment_path).st_blocks * 512
    pids = [account.pid for account in read_accounts(looked) if account.is_live]
    pids += [words[Header.GUARD_PID], words[Header.WORKER_PID]]
    targets = targets_of(leftover)
    waiting: Counter[RecordingKey] = Counter()
    for (_, key), number in Sweeper(looked).waiting_rows().items():
        waiting[key] += number
    return Inspection(
        [pid for pid in pids if pid],
        num_bytes,
        time.time() - words[Header.CREATED_NS] / 1e9,
        # The spool may have rows of the sweep in flight, which wait in the ring until that sweep is done.
        spooled_rows(spool, _ids_in_flight(looked)) + waiting,
        targets,
    )


def targets_of(leftover: LeftoverSession) -> dict[RecordingKey, list[str]]:
    """Return the paths of the files that a leftover session was writing, by recording.

    Raises
    ------
    RerunMpError, OSError
        If its configuration cannot be read.
    """
    from rerun_mp.collector.store.spools import stored_targets

    targets = stored_targets(Path(leftover.spool_directory))
    for spec in read_config_in(leftover.runtime_directory, leftover.spool_directory).recordings:
        targets[spec.key] = [sink.target for sink in spec.sinks if sink.kind == "file"] or targets.get(spec.key, [])
    return targets


def _ids_in_flight(looked: Segment) -> set[str]:
    """Return the ids of the chunks of the sweep that the killed collector has not finished."""
    from rerun_mp.collector.drain.frame_chunks import build_chunks
    from rerun_mp.collector.drain.sweep import Sweeper
    from rerun_mp.collector.drain.table_chunks import build_table_chunks

    sweep = Sweeper(looked).collect(resume=True)
    if sweep is None:
        return set()
    built = build_chunks(sweep.taken, nonce=looked.nonce), build_table_chunks(sweep.rows, nonce=looked.nonce)
    return {chunk.chunk_id for one in built for chunk in one.chunks}


def _tree_bytes(path: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in path.rglob("*") if one.is_file())


def _gone(leftover: LeftoverSession) -> RerunMpError:
    return SessionEndedError(f"session {leftover.name} is gone, or a process has joined it by now")


# ---- recovering ----------------------------------------------------------------------------------------------------


def recover(
    leftover: LeftoverSession, rescue_directory: str | None = None, *, timeout: float | None = None
) -> str | None:
    """Bring the rows of a leftover session into its files, and remove the session. Waits until that is done.

    Returns None, or the reason why it is not done completely.

    Parameters
    ----------
    leftover
        From `find_leftovers`. If a process has joined it by now, it is not changed.
    rescue_directory
        Directory for rows that have no file. By default `directories.rescue_base()`.
    timeout
        Seconds to wait for the collector, which goes on after that. None waits for as long as one can be started.
    """
    rescue = os.path.abspath(rescue_directory or directories.rescue_base())
    try:
        if leftover.segment_path is None:
            return _recover_spool(leftover, rescue)
        return _recover_segment(leftover, leftover.segment_path, rescue, timeout)
    except SessionEndedError:
        return None  # another recovery was faster, or a process has joined the session
    except (RerunMpError, OSError) as error:
        return None if _is_gone(leftover) else str(error)


def _is_gone(leftover: LeftoverSession) -> bool:
    """Say whether nothing is left of a session: another recovery has completed it meanwhile."""
    paths = [leftover.spool_directory, leftover.runtime_directory]
    if leftover.segment_path is not None:
        paths.append(leftover.segment_path)
    return not any(map(os.path.lexists, paths))


def files_of(
    leftover: LeftoverSession, inspection: Inspection, rescue_directory: str | None = None
) -> dict[RecordingKey, list[str]]:
    """Return the files that hold the rows of each recording after the recovery."""
    files = {}
    rescue = os.path.abspath(rescue_directory or directories.rescue_base())
    for key in sorted({*inspection.rows, *inspection.files}):
        # Only this session uses this name: if the file exists, it holds the rows.
        aside = directories.rescue_path(rescue, *key, bytes.fromhex(leftover.name))
        named = [place_of_part(_actual(path, leftover.name), key) for path in inspection.files.get(key, [])]
        files[key] = [aside] if os.path.exists(aside) else named
    return files


def _actual(path: str, name: str) -> str:
    """Return where a leftover session's file for `path` lies, if another program has taken the path."""
    return next((aside for aside in aside_paths(path, name[:8]) if os.path.exists(aside)), path)


def _recover_segment(leftover: LeftoverSession, path: str, rescue: str, timeout: float | None) -> str | None:
    joined = segment.attach(path, participate=False)
    if joined is None or joined.nonce.hex()[:16] != leftover.name:
        raise _gone(leftover)
    words = joined.ring.words
    _set_rescue_directory(joined, rescue)
    participants = Participants()

    def is_over() -> bool:
        is_gone = words[Header.SESSION_STATE] == SessionState.ENDED or not _exists(joined)
        return is_gone or _has_participants(joined, participants)

    progress = Progress("recovering")
    patience = Patience("recovering; press Ctrl-C again to leave that to the collector, which goes on")
    watch = CollectorWatch(joined)

    def meanwhile() -> None:
        with contextlib.suppress(RerunMpError):
            watch.look()
        failure = watch.failure()
        if failure is not None:
            raise CollectorError(f"{failure}. The rows stay in {joined.path}")
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
    if _exists(joined):
        return None  # a process has joined it, and its collector serves that process now
    if os.path.isdir(joined.spool_directory):
        return f"a file could not be written; its rows stay in {joined.spool_directory}"
    return None


def _set_rescue_directory(joined: Segment, rescue: str) -> None:
    """Name the directory for rows without a file in the session's configuration, unless a process has joined."""
    try:
        descriptor = joined.open(is_ending=True)
    except RerunMpError:
        return
    try:
        if leases.is_held(descriptor, Lock.BASE, Lock.LIVES) or not leases.try_lock(descriptor, Lock.CONFIG):
            return
        config = find_config(joined) or SessionConfig()
        revision = joined.ring.words[Header.CONFIG_REVISION] + 1
        write_config(joined, replace(config, revision=revision, rescue_directory=rescue))
        joined.ring.words[Header.CONFIG_REVISION] = revision
    finally:
        os.close(descriptor)


def _exists(joined: Segment) -> bool:
    try:
        os.close(joined.open(is_ending=True))
    except RerunMpError:
        return False
    return True


def _has_participants(joined: Segment, participants: Participants) -> bool:
    try:
        descriptor = joined.open(is_ending=True)
    except RerunMpError:
        return False
    try:
        return participants.remain(descriptor)
    finally:
        os.close(descriptor)


def _node_of(leftover: LeftoverSession) -> NodeSpec | None:
    """Return the node that a leftover session was, if it has parts to ship."""
    try:
        node = read_config_in(leftover.runtime_directory, leftover.spool_directory).node
    except (RerunMpError, OSError):
        return None
    return node if node is not None and node.parts else None


def _hold_spool(path: str) -> int:
    """Lock a spool directory. Waits while another recovery holds it.

    Raises
    ------
    FileNotFoundError
        If the directory is gone: the other recovery has completed the session.
    """
    attempt = 0
    while (lease := directories.hold(path)) is None:
        time.sleep(pause_length(attempt))
        attempt += 1
    return lease


def _recover_spool(leftover: LeftoverSession, rescue: str) -> str | None:
    """Complete the files of a session without a segment from its spool, as the end of a collector does."""
    from rerun_mp.collector.store.recording_store import RecordingStore
    from rerun_mp.collector.store.spools import remove_complete, stored_recordings

    spool, nonce = Path(leftover.spool_directory), bytes.fromhex(leftover.name)
    node = _node_of(leftover)
    problem = None
    if spool.is_dir():
        lease = _hold_spool(leftover.spool_directory)
        try:
            for key, scoped_to in stored_recordings(spool):
                place = None if scoped_to else directories.rescue_path(rescue, *key, nonce)
                try:
                    store = RecordingStore(key, spool, nonce, scoped_to=scoped_to)
                    store.complete(place)
                    if node is not None and not scoped_to:
                        note_end(node, nonce, key, store.rotating.rows_until_now())
                except (RerunMpError, OSError) as error:
                    problem = f"{error}; its rows stay in {spool}"
            if node is not None and problem is None:
                close_parts(node.parts)
                remove_open_directory(open_directory(node, nonce))
            if remove_complete(spool):
                directories.remove_tree(leftover.spool_directory)
        finally:
            os.close(lease)
    doorbell.remove(nonce)
    directories.remove_tree(leftover.runtime_directory)
    return problem
