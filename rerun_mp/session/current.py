"""The session of this process: found or join it at the first need, keep it across a fork, leave it at the exit.

A forked child inherits the mapped segment and the share in the participants lock. The hook here replaces the rest; for
forks made in C, where no hook runs, `Session` does so when it finds its fork guard wiped. Any thread may call.
"""

from __future__ import annotations

import atexit
import math
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE
from rerun_mp.errors import CollectorError, RerunMpError, ResourceError, SessionError
from rerun_mp.hooks import forking
from rerun_mp.session import collector_check, collector_start, founding, identity, named, refused_rows
from rerun_mp.session.leaving import await_childrens_files, leave
from rerun_mp.settings import Settings
from rerun_mp.shm.interruptions import is_own
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    from rerun_mp.session.session import Session

__all__ = ["choose_session", "found_or_join", "host", "register_exit", "session"]

RETRY_SECS = 0.05
"""Seconds between two searches for a session to join, in a process that has none."""

_session: Session | None = None
"""The session of this process. A forked child keeps it and begins a new life in it."""
_has_left = False
"""Whether this process has left its session at its exit. False in a forked child."""
_next_search = 0.0
"""When a process without a session searches again, by the monotonic clock; infinite after a refusal."""
_joining = threading.RLock()
"""Guards `_session`. A forked child gets a new one."""
_waits_pid = 0
"""The process that waits at its exit for the files of its children's session."""
_exit_pid = 0
"""The process that has registered its exit hook. A forked child inherits the value, and registers its own."""


def session() -> Session | None:
    """Return this process's session. A process without one joins that of its tree. None if there is none."""
    if _session is not None:
        return _session
    return _join_existing()


def host() -> str | None:
    """Return the host's name that own entity paths have, if this process's session is a node; see `host_entity`."""
    joined = session()
    node = None if joined is None else joined.config().node
    return node and node.host


def choose_session(name: str) -> None:
    """Make this process and its children members of the session with this name, unless the process is a member already.

    Raises
    ------
    InvalidArgumentError
        If the text can name no session.
    SessionError
        If the process is in another session.
    """
    named.check_name(name)
    if os.environ.get(ENVIRONMENT_VARIABLE) != name and _session is not None:
        raise SessionError(
            f"this process is in another session already; call init(session={name!r}) before anything else of rerun_mp"
        )
    os.environ[ENVIRONMENT_VARIABLE] = name


def found_or_join(settings: Settings | None = None) -> Session:
    """Return this process's session. A process without one joins that of its tree, or founds it with these settings.

    Raises
    ------
    SharedMemoryError
        If /dev/shm has no room.
    PrivacyError
        If the segment at the session's name belongs to another user.
    ResourceError
        If the system refuses something else, such as another open file.
    SessionError
        If the session at that name neither lives nor ends.
    CollectorError
        If this process founded the session, and no collector can run. Nothing of the session stays.
    """
    with _joining:
        if _session is not None:
            return _session
        deadline = time.monotonic() + founding.ENDING_TIMEOUT_SECS
        while True:
            found = identity.find(may_create=True)
            assert found is not None
            joined = founding.found_or_join(found, settings or Settings())
            if joined is not None:
                return _enter(joined)
            # The session that the environment names ended after it was found. Its successor is found soon.
            if time.monotonic() > deadline:
                raise founding.neither_lives_nor_ends(found.path)
            time.sleep(RETRY_SECS)


def _join_existing() -> Session | None:
    global _next_search
    now = time.monotonic()
    if _has_left or now < _next_search:
        return None
    with _joining:
        if _session is not None:
            return _session
        _next_search = now + RETRY_SECS
        try:
            found = identity.find(may_create=False)
            joined = None if found is None else _join(found)
            return None if joined is None else _enter(joined)
        except ResourceError as error:
            # The file at the session's name is not ours and will not become ours: say so once, and stop searching.
            _next_search = math.inf
            tell(f"rerun_mp: {error} This process logs nowhere until it calls rerun_mp.init().\n")
            return None
        except OSError as error:
            # No descriptor is free, for example. The next search may find one.
            if not is_own(error):
                raise
            return None


def _join(found: identity.Identity) -> Session | None:
    """Join a session that lives, or continue one that has ended."""
    return founding.join(found) if found.note is None else founding.found_or_join(found, Settings())


def _enter(joined: Session) -> Session:
    global _session, _has_left
    outer_variable = os.environ.get(ENVIRONMENT_VARIABLE)
    if not joined.is_shared:
        os.environ[ENVIRONMENT_VARIABLE] = joined.name.text
    _session, _has_left = joined, False
    register_exit()
    must_wait = joined.is_founder and not collector_check.is_usual_start(collector_start.collector_paths())
    try:
        collector_start.ensure_collector(joined.segment)
        if must_wait:
            collector_check.await_first_worker(joined.segment)
    except (CollectorError, OSError) as error:
        if must_wait and isinstance(error, CollectorError):
            _session = None
            founding.withdraw(joined)
            os.environ.pop(ENVIRONMENT_VARIABLE, None)
            if outer_variable is not None:
                os.environ[ENVIRONMENT_VARIABLE] = outer_variable
            raise
        # Rows wait in shared memory. Callers that wait for the collector, or log on, try again.
        tell(f"rerun_mp: {error}\n")
    return joined


def register_exit() -> None:
    """Let this process leave its session when it exits. A forked child inherits a session, and not this."""
    global _exit_pid
    if _exit_pid != os.getpid():
        _exit_pid = os.getpid()
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            # multiprocessing ends its children with os._exit, and runs no atexit hooks there.
            from multiprocessing import util

            util.Finalize(None, _leave_now, exitpriority=-100)


def _leave_at_exit() -> None:
    """Leave after multiprocessing has terminated its daemons and joined its other children: we may be the last then."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None and not util._exiting:
        util.Finalize(None, _leave_now, exitpriority=-100)
    else:
        _leave_now()


def _leave_now() -> None:
    global _session, _has_left
    joined = _session
    if joined is None or _has_left or _exit_pid != os.getpid():
        return
    # From here on calls do nothing, as rerun's do after its own shutdown.
    _has_left = True
    _session = None
    try:
        leave(joined)
    except (RerunMpError, OSError) as error:
        if not is_own(error):
            raise
        tell(f"rerun_mp: this process could not wait for its rows at its exit: {error}\n")
    refused_rows.report()


def _before_fork() -> None:
    """Prepare for a child that founds the session of this tree, because this process has founded none."""
    global _waits_pid
    if _session is None and not _has_left:
        identity.prepare_fork()
        if _waits_pid != os.getpid():
            _waits_pid = os.getpid()
            atexit.register(_await_children)


def _await_children() -> None:
    """Wait at the exit until the files of a session that only children had are complete."""
    if _session is None and not _has_left and _waits_pid == os.getpid():
        try:
            found = identity.find(may_create=False)
            if found is not None:
                await_childrens_files(found.path, Settings().exit_timeout)
        except ResourceError:
            return  # the file at that place is none of ours


def _after_fork_in_child() -> None:
    global _joining, _has_left, _next_search
    _joining = threading.RLock()
    _has_left = False
    if _next_search != math.inf:
        _next_search = 0.0
    if _session is not None:
        _session.begin_life()


# As rerun does: functions that a program registers after the import run before this one, and may log.
atexit.register(_leave_at_exit)
os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
forking.wait_for_imports_before_forks()
