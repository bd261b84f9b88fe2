"""Decides which session this process belongs to, before it founds or joins one.

In this order:

0. RERUN_MP_SESSION names a session by a name that the user has chosen (`named`).
1. RERUN_MP_JOB names a job, and its processes on this host share a session.
2. RERUN_MP_SESSION names a session by its key and root: it lives, or a session that continues it does, or it has ended
   and this process is an heir (`heirs`).
3. A launcher has started this process as a rank of a job (`jobs`).
4. multiprocessing's authkey, from which all processes of a tree derive the same key.
5. Random bytes, which forked children inherit, in a process that has not loaded multiprocessing. If a program that
   does not import rerun_mp has forked the process, as servers fork workers, all these have one key, and so one
   recording, but each has a session of its own: they know nothing of each other.

A session and the sessions that continue it have one *root*: the beginning of the first one's nonce. So a variable that
was inherited from a program that has ended names no other program's session.

A program may set a fixed authkey, as another one does. Then it finds a stranger's session under its key, and has a
session of its own beside it, with the same recording ids. Its own forked and spawned children are no strangers: they,
or their parents, share the program's mark (`kinship.program_mark`). Any thread may call.
"""

from __future__ import annotations

import glob
import hashlib
import hmac
import os
import sys
import time
from typing import NamedTuple

from rerun_mp.encoding.ids import (
    ENVIRONMENT_VARIABLE,
    ROOT_BYTES,
    SessionName,
    parse_name,
    segment_name,
    session_key,
)
from rerun_mp.session import heirs, jobs, kinship, named
from rerun_mp.session.waiting import pause_length
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Header
from rerun_mp.shm.survey import find_root, header_at
from rerun_mp.standard_error import tell

__all__ = ["Identity", "find", "is_key_of_one_run", "is_named_session_over", "is_own_root", "prepare_fork"]

ENDING_SECS = 30.0
"""Seconds that an heir waits until the session that it continues has completed its files."""

AUTHKEY_BYTES = 32
"""Length of the random authkey that multiprocessing gives a program."""

_own: SessionName | None = None
"""This process's key, and the root of its session if not any; forked children inherit both. None: not drawn yet."""
_has_told = False
"""Whether this process has said that another program uses its authkey."""


class Identity(NamedTuple):
    """A session that this process belongs to, whether it exists yet or not."""

    key: bytes
    path: str
    """Path of the session's segment."""
    root: bytes = b""
    """The root that the segment must have to be joined; empty: any."""
    note: heirs.Note | None = None
    """The note of the ended session that this one continues."""
    may_found: bool = True
    """Whether this process may found the session if it does not exist."""
    leads: bool | None = None
    """Whether this process is the first rank of a job on this host, whose sinks take all rows. None: it is no rank."""
    is_shared: bool = False
    """Whether the session has a name that the user has chosen."""
    job: jobs.Job | None = None
    """The launcher's job that this process belongs to, also as the child of a rank."""


def find(*, may_create: bool) -> Identity | None:
    """Return the session of this process. `may_create`: draw a key if there is none.

    Raises
    ------
    ResourceError
        If the file at the place of the named session cannot be used.
    """
    chosen = named.name_in_environment()
    if chosen is not None:
        key = named.key_of(chosen, may_create=may_create)
        return None if key is None else _of_key(key)._replace(is_shared=True)
    job = jobs.this_job()
    found = _find(job, may_create=may_create)
    return None if found is None else found._replace(job=job)


def _find(job: jobs.Job | None, *, may_create: bool) -> Identity | None:
    is_named = job is not None and bool(os.environ.get(jobs.JOB_VARIABLE))
    name = _name_in_environment(says=may_create)
    # The children of a rank have the job's name, too. They find its session, and are no ranks.
    if name is not None and (job is None or not is_named or name.key == jobs.key_of(job)):
        session = _named(name)
        if session is not None:
            return session
    if job is not None:
        return _of_job(job)
    if "multiprocessing.process" in sys.modules:
        return _of_authkey(may_create=may_create)
    # multiprocessing did not start this process. Its children will find the key in the environment, and loading
    # multiprocessing just for its authkey would double the time of `init`.
    if may_create:
        prepare_fork()
    return None if _own is None else Identity(_own.key, _path(*_own), _own.root)


def prepare_fork() -> None:
    """Draw this process's key, so that the children that it forks from now on have one session."""
    global _own
    if _own is None:
        _own = _draw()


def _draw() -> SessionName:
    """Return a key of random bytes; or, in a process forked by one that has none, the key of all that it forks."""
    origin = kinship.forked_from()
    if not origin:
        return SessionName(session_key(os.urandom(32)), b"")
    process = f"{kinship.pid_namespace()} {origin} {kinship.start_ticks(origin)}"
    program = f"{kinship.boot_id()} {kinship.program_mark()} {process}"
    return SessionName(session_key(program.encode()), os.urandom(ROOT_BYTES))


def is_own_root(root: bytes) -> bool:
    """Say whether a session has the root that this process has drawn, because its siblings have the same key."""
    return _own is not None and bool(root) and _own.root == root


def is_key_of_one_run(key: bytes) -> bool:
    """Say whether a session's key is random, so that no other run of the program has it.

    An authkey is taken for a random one by its length: a program that sets it seldom chooses so many bytes.
    """
    if _own is not None and _own.key == key:
        return True
    if "multiprocessing.process" not in sys.modules:
        return False
    from multiprocessing.process import current_process

    authkey = bytes(current_process().authkey)
    return len(authkey) == AUTHKEY_BYTES and session_key(authkey) == key


def is_named_session_over() -> bool:
    """Say whether the environment names a session that has ended, and that this process does not continue."""
    name = _name_in_environment(says=False)
    return name is not None and bool(name.root) and _named(name) is None


def _name_in_environment(*, says: bool) -> SessionName | None:
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    name = None if text is None else parse_name(text)
    if text is not None and name is None and says:
        tell(
            f"rerun_mp: {ENVIRONMENT_VARIABLE} is neither a name such as robot-7 nor a session's key (64 hex digits, "
            "perhaps a hyphen and 16 more); ignored\n"
        )
    return name


def _path(key: bytes, root: bytes = b"") -> str:
    return os.path.join(segment.DIRECTORY, segment_name(key, root))


def _of_key(key: bytes) -> Identity:
    return Identity(key, _path(key))


def _named(name: SessionName) -> Identity | None:
    """Return the session that the environment names, or the one that continues it; None if there is neither.

    While the named session is ending, wait until it has left its note.
    """
    if not name.root:
        return _of_key(name.key)
    paths = (_path(name.key), _path(name.key, name.root))
    deadline = time.monotonic() + ENDING_SECS
    attempt = 0
    while True:
        is_ending = any(_is_ending(path, name.root) for path in paths)
        for path in paths:
            if find_root(path) == name.root:
                return Identity(name.key, path, name.root, may_found=False)
        for path in paths:
            note = heirs.find_note(os.path.basename(path), name.root)
            if note is not None:
                return Identity(name.key, path, name.root, note) if note.names_as_heir(*_own_pids()) else None
        # The looks came in this order: a session that was ending at the first one has left its note by now, or none.
        if not is_ending or time.monotonic() > deadline:
            return None
        time.sleep(pause_length(attempt))
        attempt += 1


def _is_ending(path: str, root: bytes) -> bool:
    return any(find_root(ending) == root for ending in glob.glob(f"{glob.escape(path)}.*"))


def _own_pids() -> list[int]:
    """Return the ids of this process and of the one by which multiprocessing has started it."""
    parent = kinship.multiprocessing_parent()
    return [os.getpid(), *([parent] if parent else [])]


def _of_job(job: jobs.Job) -> Identity:
    found = _of_key(jobs.key_of(job))
    return _continued(found, job.restarter)._replace(leads=None if job.local_rank is None else job.local_rank == 0)


def _continued(found: Identity, restarter: tuple[int, int] | None = None) -> Identity:
    """Return the same session, or the one that continues the last of that name, if this process is an heir.

    A rank that `restarter` may have started anew is an heir, and waits while the session of the ranks before is ending.
    """
    pids = [*_own_pids(), *([] if restarter is None else restarter[:1])]
    deadline = time.monotonic() + ENDING_SECS
    attempt = 0
    while find_root(found.path) is None:
        is_ending = restarter is not None and bool(glob.glob(f"{glob.escape(found.path)}.*"))
        note = heirs.find_note(os.path.basename(found.path))
        if note is not None and note.names_as_heir(*pids):
            return found._replace(root=note.root, note=note)
        if not is_ending or time.monotonic() > deadline:
            break
        time.sleep(pause_length(attempt))
        attempt += 1
    return found


def _of_authkey(*, may_create: bool) -> Identity | None:
    """Return the session of the processes with this process's authkey, or this program's own beside a stranger's."""
    from multiprocessing.process import current_process

    key = session_key(bytes(current_process().authkey))
    parent = kinship.multiprocessing_parent()
    for pid in _own_pids():
        mark = kinship.program_mark(pid)
        beside = Identity(key, _path(key, _root_of_program(key, mark)), _root_of_program(key, mark))
        if mark and find_root(beside.path) is not None:
            return beside
    if parent:
        return _continued(_of_key(key))
    mark = kinship.program_mark()
    if not _is_strangers(_path(key), mark):
        return _of_key(key)
    if not may_create:
        return None
    _tell_of_stranger()
    root = _root_of_program(key, mark)
    return Identity(key, _path(key, root), root)


def _is_strangers(path: str, mark: int) -> bool:
    """Say whether the session at `path` belongs to another program than this one, which has this mark."""
    words = header_at(path)
    founder = 0 if words is None else words[Header.FOUNDER]
    if not founder or not mark or founder == mark:
        return False
    inodes = kinship.segment_inodes(path)
    return not any(kinship.uses_segment(pid, inodes) for pid in kinship.ancestors(os.getpid()))


def _root_of_program(key: bytes, mark: int) -> bytes:
    return hmac.new(key, b"program" + mark.to_bytes(8, "little"), hashlib.sha256).digest()[:ROOT_BYTES]


def _tell_of_stranger() -> None:
    global _has_told
    if not _has_told:
        _has_told = True
        tell(
            "rerun_mp: another program with the same multiprocessing authkey has a session. The recordings of both "
            "programs have the same ids; this program has a session and files of its own. To join the other session, "
            f"start this program with that program's {ENVIRONMENT_VARIABLE}; else choose another authkey.\n"
        )
