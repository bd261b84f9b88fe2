"""The end of a session: when no participant is left, and no process is expected to join.

A process that exec'd and has not imported rerun_mp yet holds no lease. Its environment names the session, so the end
waits for it, at most three seconds: programs that never import rerun_mp (an editor, a shell) have that variable too.

A successor can repeat each of these steps: lock the participants exclusively (no process can join), rename the
segment aside (a newcomer founds a new session), drain, complete the files, store the state FILES_COMPLETE, let the live
sinks finish, keep rows that no server has acknowledged, store the state REMOVING, remove everything, the segment last.
The journal of a recording says when its file is complete. All journals stay until all files are complete: without them,
a successor would begin the user's files anew.

The spool of a recording whose file could not be completed stays for `recovery`, and the program reports it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from rerun_mp.collector.messages import say
from rerun_mp.collector.newcomers import newcomers
from rerun_mp.collector.pipeline import Pipeline
from rerun_mp.collector.store.spools import remove_complete
from rerun_mp.errors import CorruptionError, RerunMpError, SharedMemoryError
from rerun_mp.printable import printable
from rerun_mp.session import directories, heirs, kinship, recovery_notes
from rerun_mp.session.config import WholeFile
from rerun_mp.session.config_file import find_config
from rerun_mp.session.final_report import file_line, write_final_report
from rerun_mp.shm import leases
from rerun_mp.shm.doorbell import Bell
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import Segment

__all__ = ["end_session", "is_over", "remove_session"]

NEWCOMER_PATIENCE = 3.0
"""Seconds that a process may take from exec to import."""
DRAIN_PATIENCE = 10.0
"""Seconds that the end waits for the lease of a dead producer to go."""
COMPLETION_PATIENCE = 5.0
"""Seconds that a full disk may take to get room for a file. Beyond them, the rows stay in the spool."""
LIVE_PATIENCE = 1.2
"""Seconds that a live sink may go without progress before it is closed. Programs wait for that at their exit."""


def is_over(segment: Segment, gone_for: float) -> bool:
    """Return whether a session whose last participant went `gone_for` seconds ago has ended."""
    return gone_for >= NEWCOMER_PATIENCE or next(newcomers(segment), None) is None


def end_session(pipeline: Pipeline, bell: Bell) -> bool:
    """End the session. Returns False if a process has joined in the last moment."""
    segment = pipeline.segment
    exclusive = _open_anew(pipeline)
    try:
        if not leases.try_lock(exclusive, Lock.PARTICIPANTS):
            return False
        pipeline.set_state(max(pipeline.state, SessionState.ENDING))
        ended = kinship.ticks_now()
        if segment.path != segment.ending_path:
            if _has_name(segment):
                os.rename(segment.path, segment.ending_path)
            segment.path = segment.ending_path
        if pipeline.state < SessionState.FILES_COMPLETE:
            _drain(pipeline)
            pipeline.loss_reports.report(is_final=True)
            pipeline.outputs.stop_live()
            pipeline.snapshots.finish()
            killed_files = pipeline.outputs.files() if recovery_notes.was_killed(segment.runtime_directory) else []
            name = segment.nonce.hex()[:16]
            for path in killed_files:
                recovery_notes.write(path, name, is_done=False)
            pipeline.words[Header.INCOMPLETE_FILES] = pipeline.outputs.complete_files(
                COMPLETION_PATIENCE, _rescue_directory(pipeline)
            )
            for path in killed_files:
                recovery_notes.write(path, name, is_done=True)
            pipeline.loss_reports.publish()
            _leave_note(pipeline, ended)
            pipeline.set_state(SessionState.FILES_COMPLETE)
        pipeline.outputs.stop_live()
        pipeline.outputs.close_live(LIVE_PATIENCE)
        lines = pipeline.outputs.keep_unsent()
        if pipeline.node_link is not None:
            lines += pipeline.node_link.finish()
        _write_report(segment, lines, pipeline.outputs.completed_files())
        pipeline.set_state(SessionState.REMOVING)
        remove_session(segment, bell)
        return True
    finally:
        os.close(exclusive)


def _write_report(segment: Segment, lines: list[str], files: list[tuple[WholeFile, int | None, int]]) -> None:
    for line in lines:
        say(f"rerun_mp: {line}")
    spool = segment.spool_directory
    where = [file_line(one.path, rows, held) for one, rows, held in files if not one.path.startswith(spool)]
    write_final_report(segment, "".join((*where, *(f"rerun_mp: {printable(line)}\n" for line in lines))))


def remove_session(segment: Segment, bell: Bell) -> None:
    """Remove everything of a session in state REMOVING."""
    bell.remove()
    if _may_be_ours(segment.spool_directory, segment.nonce) and remove_complete(Path(segment.spool_directory)):
        directories.remove_tree(segment.spool_directory)
    if _may_be_ours(segment.runtime_directory, segment.nonce):
        directories.remove_tree(segment.runtime_directory)
    if _has_name(segment):
        os.unlink(segment.path)
    segment.ring.words[Header.SESSION_STATE] = SessionState.ENDED


def _leave_note(pipeline: Pipeline, ended: int) -> None:
    """Leave a note for processes that have inherited the session and come later, if there are any."""
    segment = pipeline.segment
    try:
        config = find_config(segment) or pipeline.config
        if heirs.may_restart(config) or next(newcomers(segment), None) is not None:
            heirs.write_note(segment, config, [one for one, *_ in pipeline.outputs.completed_files()], ended)
        else:
            heirs.remove_note(segment)
    except (OSError, RerunMpError) as error:
        say(f"worker {os.getpid()}: no note could be left for processes that come later: {error}")


def _has_name(segment: Segment) -> bool:
    """Say whether the segment's path still shows this segment."""
    try:
        return os.stat(segment.path, follow_symlinks=False).st_ino == segment.inode
    except FileNotFoundError:
        return False


def _open_anew(pipeline: Pipeline) -> int:
    """Open the segment's file, also if another program has removed its name (systemd: RemoveIPC)."""
    try:
        return pipeline.segment.open()
    except SharedMemoryError:
        return os.open(f"/proc/self/fd/{pipeline.descriptor}", os.O_RDWR | os.O_CLOEXEC)


def _may_be_ours(path: str, nonce: bytes) -> bool:
    """Return whether a path that was read from shared memory can be a directory of this session."""
    base, name = os.path.split(path)
    return name == nonce.hex()[:16] and os.path.basename(base).startswith("rerun_mp")


def _rescue_directory(pipeline: Pipeline) -> str | None:
    try:
        return (find_config(pipeline.segment) or pipeline.config).rescue_directory
    except CorruptionError:
        return None  # `Pipeline.apply_config` has reported it


def _drain(pipeline: Pipeline) -> None:
    """Deliver what is left. No owner logs any more, so this ends; for a lease that lingers it waits a bounded time."""
    deadline = time.monotonic() + DRAIN_PATIENCE
    while pipeline.drain_once() or (pipeline.dead_producers.count_entries() and time.monotonic() < deadline):
        if not pipeline.sweeper.has_news():
            time.sleep(0.001)
