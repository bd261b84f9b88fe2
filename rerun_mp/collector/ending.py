"""The end of a session: when nobody takes part any more and nobody is about to.

A process that exec'd but has not imported rerun_mp yet holds no lease; its environment names the session, and the end
waits for it, three seconds at most: programs that never will (an editor, a shell) have it there too.

Steps, each of which a successor can repeat: lock the participants exclusively (nobody can join), rename the segment
aside (a newcomer makes a new session), drain, complete the files, say so, let the live sinks finish, say so, remove
everything, the segment last. A recording whose file is complete says so in its journal, which stays until all are: a
successor that opened it again would begin the user's file anew.

The spool of a recording whose file could not be completed stays, for `recovery` to try again, and the program says so.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rerun_mp.collector.store.parts import remove_complete
from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, parse_key, segment_name
from rerun_mp.errors import CorruptionError
from rerun_mp.session import directories
from rerun_mp.session.config_file import read_config
from rerun_mp.shm import leases
from rerun_mp.shm.doorbell import Bell
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

if TYPE_CHECKING:
    from rerun_mp.collector.worker import Worker

__all__ = ["end_session", "is_over", "remove_session"]

NEWCOMER_PATIENCE = 3.0
"""Seconds that a process may take from exec to import."""
DRAIN_PATIENCE = 10.0
COMPLETION_PATIENCE = 5.0
"""Seconds that a full disk may take to have room for what its files lack. Their rows stay in the spool then."""
LIVE_PATIENCE = 2.0
"""Seconds that live sinks may go without progress before they are given up."""
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


def is_over(segment: Segment, gone_for: float) -> bool:
    """Say whether a session whose last participant went `gone_for` seconds ago has ended."""
    return gone_for >= NEWCOMER_PATIENCE or not _is_expected(os.path.basename(segment.path))


def end_session(worker: Worker) -> bool:
    """End the session. False if somebody has joined in the last moment."""
    segment = worker.segment
    exclusive = segment.open()
    try:
        if not leases.try_lock(exclusive, Lock.PARTICIPANTS):
            return False
        worker.set_state(max(worker.state, SessionState.ENDING))
        if segment.path != segment.ending_path:
            os.rename(segment.path, segment.ending_path)
            segment.path = segment.ending_path
        if worker.state < SessionState.FILES_COMPLETE:
            _drain(worker)
            worker.reports.look(is_final=True)
            worker.words[Header.INCOMPLETE_FILES] = worker.outputs.complete_files(
                COMPLETION_PATIENCE, _rescue_directory(segment)
            )
            worker.reports.publish()
            worker.set_state(SessionState.FILES_COMPLETE)
        worker.outputs.close_live(LIVE_PATIENCE)
        worker.set_state(SessionState.REMOVING)
        remove_session(segment, worker.bell)
        return True
    finally:
        os.close(exclusive)


def remove_session(segment: Segment, bell: Bell) -> None:
    """Remove everything of a session in state REMOVING."""
    bell.remove()
    if _may_be_ours(segment.spool_directory, segment.nonce) and remove_complete(Path(segment.spool_directory)):
        directories.remove_tree(segment.spool_directory)
    if _may_be_ours(segment.runtime_directory, segment.nonce):
        directories.remove_tree(segment.runtime_directory)
    os.unlink(segment.path)
    segment.ring.words[Header.SESSION_STATE] = SessionState.ENDED


def _may_be_ours(path: str, nonce: bytes) -> bool:
    """Say whether a path that was in shared memory is one that a session's directory can have."""
    base, name = os.path.split(path)
    return name == nonce.hex()[:16] and os.path.basename(base).startswith("rerun_mp")


def _rescue_directory(segment: Segment) -> str | None:
    try:
        return read_config(segment).rescue_directory
    except CorruptionError:
        return None  # the worker has said so already


def _drain(worker: Worker) -> None:
    """Deliver what is left. Every owner is dead or has let go, so this ends; a lease that lingers may not keep us."""
    deadline = time.monotonic() + DRAIN_PATIENCE
    while worker.drain_once() or (worker.watch.entries() and time.monotonic() < deadline):
        if not worker.sweeper.has_news():
            time.sleep(0.001)


def _is_expected(name: str) -> bool:
    """Say whether a process of this user has the session in its environment and might still join."""
    import psutil

    own = os.geteuid()
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.uids().effective != own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            key = parse_key(process.environ().get(ENVIRONMENT_VARIABLE, ""))
            if key is not None and segment_name(key) == name and not _is_bystander(process):
                return True
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return False


def _is_bystander(process: object) -> bool:
    """Say whether a process has inherited the session but starts nothing that will join by itself."""
    import psutil

    assert isinstance(process, psutil.Process)
    if os.path.basename(process.exe()) == "rerun":
        return True
    line = " ".join(process.cmdline())
    if not any(helper in line for helper in HELPERS):
        return False
    # A child of the fork server has the server's command line, and may be a worker that has not logged yet.
    parent = process.parent()
    return parent is None or "multiprocessing.forkserver" not in " ".join(parent.cmdline())
