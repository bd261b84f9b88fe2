"""Leaves a session: what a process does at its normal exit. Any thread may call.

A process that set a sink waits, bounded, until its rows are stored. If it is the last participant it also waits until
the files are complete, so that `python train.py && rerun out.rrd` sees the whole file, and until viewers have all rows
or make no progress. At the end it reports the rows that no viewer has acknowledged, and where they are.
"""

from __future__ import annotations

import contextlib
import glob
import os
import time
from typing import TYPE_CHECKING

from rerun_mp.errors import FlushTimeoutError, RerunMpError, SessionError
from rerun_mp.printable import counted
from rerun_mp.session import accounts, ownership, refused_rows
from rerun_mp.session.file_claims import aside_paths
from rerun_mp.session.final_report import FILE_MARK, describe_files, open_final_report, read_final_report
from rerun_mp.session.notices import say, take_notices
from rerun_mp.session.participants import Participants
from rerun_mp.session.recovery_notes import note_exit
from rerun_mp.session.sink_status import read_sinks
from rerun_mp.session.waiting import Backlog, Patience, Progress, wait_until
from rerun_mp.shm import leases
from rerun_mp.shm.layout import Header, Lock, SessionState
from rerun_mp.shm.segment import open_checked
from rerun_mp.shm.survey import header_at
from rerun_mp.standard_error import is_terminal, tell

if TYPE_CHECKING:
    from rerun_mp.session.session import Session

__all__ = ["await_childrens_files", "leave"]


def leave(session: Session) -> None:
    """End this process's part in `session`, at its exit or so that the session can end early."""
    if session.has_left:
        return  # the session may have ended, and its directory must not come back
    session.has_left = True
    timeout = session.settings.exit_timeout
    begin = time.monotonic()
    patience = Patience("rows are being written; press Ctrl-C again to leave that to the collector")
    session.seal()
    report = open_final_report(session.segment) if session.must_complete or session.is_founder else None
    is_late = False
    if session.must_complete:
        try:
            session.flush(timeout, patience)
        except FlushTimeoutError as error:
            is_late = True
            tell(f"rerun_mp: {error}\n")
        except KeyboardInterrupt:
            session.must_complete = False
            tell(f"rerun_mp: the collector goes on; its log is in {session.segment.runtime_directory}\n")
    if session.must_complete or session.is_founder:
        _report_refused(session)
        for text in take_notices(session.segment.runtime_directory):
            say(text)
        note_exit(session.segment.runtime_directory)
    files = _files(session) if session.must_complete else []
    session.release()
    participants = Participants()
    if session.must_complete and not is_late and not _others_remain(session, participants):
        _await_files(session, participants, begin, patience)
    if session.must_complete or session.is_founder:
        _report_moved_files(files, session.segment.nonce.hex()[:8])
        _report_losses(session)
    if report is not None:
        text = read_final_report(report)
        for line in text.splitlines():
            if not line.startswith(FILE_MARK):
                say(line.removeprefix("rerun_mp: "))
        if text.startswith(FILE_MARK) and is_terminal() and session.settings.exit_line:
            say(describe_files(text))


def await_childrens_files(path: str, timeout: float) -> None:
    """Wait until the session at `path` has completed its files. Do not wait while a process takes part in it."""
    patience = Patience("files are being completed; press Ctrl-C again to leave that to the collector")
    participants = Participants()
    with contextlib.suppress(KeyboardInterrupt):
        wait_until(lambda: not _completes(path, participants), timeout, patience=patience)


def _completes(path: str, participants: Participants) -> bool:
    """Say whether a collector has files to complete in the session at `path`, or in one that had that path."""
    for candidate in (path, *glob.glob(f"{glob.escape(path)}.*")):
        try:
            words, descriptor = header_at(candidate), open_checked(candidate)
        except FileNotFoundError:
            continue
        try:
            has_collector = any(leases.is_held(descriptor, lock) for lock in (Lock.STARTER, Lock.GUARD, Lock.WORKER))
            is_used = participants.remain(descriptor)
        finally:
            os.close(descriptor)
        if words is not None and words[Header.SESSION_STATE] < SessionState.FILES_COMPLETE:
            return has_collector and not is_used
    return False


def _others_remain(session: Session, participants: Participants) -> bool:
    try:
        descriptor = session.segment.open()
    except (OSError, SessionError):
        return False
    try:
        return participants.remain(descriptor)
    finally:
        os.close(descriptor)


def _await_files(session: Session, participants: Participants, begin: float, patience: Patience) -> None:
    """Wait until the files are complete, or until a child joins late: then this process is not the last.

    `begin`: when this process began to leave, which the exit's time limit counts from.
    """
    timeout = session.settings.exit_timeout
    progress = Progress("completing the recording's files")
    words = session.segment.ring.words
    others_remain = False

    def meanwhile() -> None:
        nonlocal others_remain
        others_remain = _others_remain(session, participants)
        session.watch_collector()
        progress.update(_what_remains(session))

    # The end of process 1 ends its namespace, and with it a collector that has not yet removed the session.
    last = SessionState.ENDED if os.getpid() == 1 else SessionState.REMOVING

    def is_over() -> bool:
        return others_remain or words[Header.SESSION_STATE] >= last

    try:
        remaining = max(0.0, begin + timeout - time.monotonic())
        if not wait_until(is_over, remaining, meanwhile=meanwhile, patience=patience):
            tell(
                f"rerun_mp: the collector is still completing files after {timeout:g} s; it goes on "
                f"after this program's end. Its log is in {session.segment.runtime_directory}.\n"
            )
    except KeyboardInterrupt:
        tell(f"rerun_mp: the collector goes on; its log is in {session.segment.runtime_directory}\n")
    finally:
        progress.close()


def _what_remains(session: Session) -> str | Backlog:
    ring = session.segment.ring
    unstored = [entry for entry in ring.pending() if not session.is_stored(*entry)]
    if unstored:
        return Backlog.of(ring, unstored)
    behind = max((sink.behind_rows for sink in read_sinks(session.segment)), default=0)
    return f"viewers have {behind:,} rows to get" if behind else "all rows are stored; the files are being completed"


def _report_refused(session: Session) -> None:
    """Write one line about rows that other processes could not log.

    The session's end removes the accounts, so read them now.
    """
    try:
        found = accounts.read_accounts(session.segment)
    except (OSError, ValueError):
        return  # the user has changed, or no descriptor is free
    refused_rows.report_others(sum(account.refused for account in found))


def _files(session: Session) -> list[str]:
    """Return the paths of the session's files, as the configuration names them."""
    try:
        return [sink.target for spec in session.config().recordings for sink in spec.sinks if sink.kind == "file"]
    except (RerunMpError, OSError):
        return []


def _report_moved_files(paths: list[str], name: str) -> None:
    """Name the files that do not lie at their paths, because another program has taken these."""
    for path in dict.fromkeys(paths):
        for aside in aside_paths(path, name):
            if os.path.exists(aside):
                say(f"another program has taken {path}; the rows of this one are in {aside}")


def _report_losses(session: Session) -> None:
    """Write one line about dropped rows, and one about files that lack some. Write nothing if there are none."""
    segment = session.segment
    words = segment.ring.words
    dropped = accounts.published_totals(segment)
    if words[Header.SESSION_STATE] < SessionState.FILES_COMPLETE:
        try:
            dropped = accounts.totals(accounts.read_accounts(segment)) | dropped
        except OSError:
            pass  # the session has ended meanwhile, and the header holds the totals since before that
    if dropped:
        why = "; ".join(f"{rows} because {reason.explanation}" for reason, rows in sorted(dropped.items()))
        tell(f"rerun_mp: {dropped.total()} rows were dropped: {why}.\n")
    incomplete = words[Header.INCOMPLETE_FILES]
    if incomplete:
        reasons = sorted(set(ownership.failures(segment.spool_directory))) or ["their disks are full"]
        say(
            f"{counted(incomplete, 'file')} could not be completed: {'; '.join(reasons)}. "
            f"The missing rows are in {segment.spool_directory}. Remove the cause, then run `rerun-mp recover`."
        )
