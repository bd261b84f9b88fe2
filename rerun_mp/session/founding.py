"""Founds a session or joins the one of this process tree: its name in /dev/shm, the size of its ring.

A session is one process tree: one segment, one collector. `identity` decides which one it is. Any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rerun_mp.encoding.ids import ROOT_BYTES
from rerun_mp.errors import SessionError
from rerun_mp.hooks.interpreters import find_python
from rerun_mp.session import collector_check, directories, heirs, kinship, named, origin
from rerun_mp.session.jobs import recording_key_of
from rerun_mp.session.refusals import as_resource_error
from rerun_mp.session.session import Session, fork_guard
from rerun_mp.session.waiting import pause_length, wait_until
from rerun_mp.shm import doorbell, ordering, segment
from rerun_mp.shm.layout import PRODUCER_BYTES, Geometry, Header, SessionState

if TYPE_CHECKING:
    from rerun_mp.session.identity import Identity
    from rerun_mp.settings import Settings
    from rerun_mp.shm.segment import Segment

__all__ = [
    "ENDING_TIMEOUT_SECS",
    "found_or_join",
    "geometry_for",
    "join",
    "neither_lives_nor_ends",
    "withdraw",
]

MIN_SLOT_BYTES = 64 * 1024
"""Bytes below which slots are not halved to make more of them."""
MIN_FULL_SIZE_SLOTS = 128
"""Slots are halved while the ring holds fewer than this."""
MIN_PRODUCERS = 64
"""Entries of the producers table, however small /dev/shm is."""
WITHDRAWAL_SECS = 5.0
"""Seconds that the guard of a session that is withdrawn may take to end."""
ENDING_TIMEOUT_SECS = 10
"""Seconds that founding waits for an ending session to give up its name."""


def join(identity: Identity, settings: Settings | None = None) -> Session | None:
    """Join this session. None if it does not live.

    Raises
    ------
    ResourceError
        If the segment there cannot be used.
    """
    joined = _attach(identity.path)
    if joined is None:
        return None
    if identity.root and joined.root != identity.root:
        # The session has ended since it was found, and another one has its name.
        assert joined.participants is not None
        joined.participants.release()
        if joined.life is not None:
            joined.life.release()
        return None
    return _enter(identity, joined, settings, is_founder=identity.leads is True)


def found_or_join(identity: Identity, settings: Settings) -> Session | None:
    """Join this session, or found it with these settings. None: it had to be joined, and has ended.

    Raises
    ------
    SharedMemoryError
        If /dev/shm has no room.
    PrivacyError
        If the segment there belongs to another user.
    ResourceError
        If the system refuses something else, such as another open file.
    SessionError
        If the session there neither lives nor ends.
    """
    # Before the segment has a name: where this fails, nothing stays.
    fork_guard()
    deadline = time.monotonic() + ENDING_TIMEOUT_SECS
    attempt = 0
    with as_resource_error("the session cannot be founded or joined"):
        while True:
            joined = join(identity, settings)
            if joined is not None:
                return joined
            if not identity.may_found:
                return None
            created = _create(identity, settings)
            if created is not None:
                return _found(identity, created, settings)
            # The session that has this name is ending, and gives up the name when its segment is renamed.
            if time.monotonic() > deadline:
                raise neither_lives_nor_ends(identity.path)
            time.sleep(pause_length(attempt))
            attempt += 1


def neither_lives_nor_ends(path: str) -> SessionError:
    """Return the error of a process that has waited for an ending session to give up its name."""
    return SessionError(f"the session at {path} neither lives nor ends; remove that file if it is unused")


def _attach(path: str) -> Segment | None:
    """Join the segment at `path`, with a share in its participants lock and its life lock. None: there is none."""
    joined = segment.attach(path)
    if joined is not None:
        joined.life = origin.hold_life(joined.spool_directory)
    return joined


def _create(identity: Identity, settings: Settings) -> Segment | None:
    # Before the segment has a name: the search may take a while, and where it fails, nothing stays.
    find_python()
    nonce = os.urandom(16)
    # The directories come first: a process that finds the segment must be able to start a collector. With the origin
    # and the life lock in them, a process with another /dev/shm knows that it must not recover the session.
    with directories.bases_for_new_session() as bases:
        runtime, spool = (os.path.join(base, nonce.hex()[:16]) for base in bases)
        created = None
        try:
            life = origin.begin(runtime, spool)
            created = segment.create(
                identity.path,
                geometry_for(settings),
                nonce,
                runtime_directory=runtime,
                spool_directory=spool,
                policy=settings.policy,
                block_timeout_ns=int((settings.block_timeout or 0) * 1e9),
                flush_tick_ns=int(settings.flush_tick * 1e9),
                spool_bytes=settings.spool_bytes,
                ordering=ordering.choose(),
                root=identity.root,
                founder=kinship.program_mark(),
            )
        finally:
            if created is None:
                directories.remove_tree(runtime)
                directories.remove_tree(spool)
    if created is not None:
        created.life = life
    return created


def _found(identity: Identity, created: Segment, settings: Settings) -> Session:
    leads = identity.note is None if identity.leads is None else identity.leads
    founded = _enter(identity, created, settings, is_founder=leads)
    # The program that the others of an ended session wait for has ended, too.
    founded.must_complete = identity.note is not None
    try:
        _configure(identity, founded, settings)
    except BaseException:
        withdraw(founded)
        raise
    return founded


def _configure(identity: Identity, founded: Session, settings: Settings) -> None:
    """Write what the settings say about a new session into its configuration."""
    if settings.figures is not None:
        founded.config_editor.edit(lambda config: replace(config, figures=settings.figures))
    if identity.job is not None and identity.job.restarter is not None:
        restarter = identity.job.restarter
        founded.config_editor.edit(lambda config: replace(config, restarter=restarter))
    if identity.job is not None or identity.note is not None or settings.head or settings.ship_to:
        from rerun_mp.session import node  # other programs need not load it

        node.set_node(founded, identity.job, settings)


def _enter(identity: Identity, joined: Segment, settings: Settings | None, *, is_founder: bool) -> Session:
    """Return this process's session. A session that continues another one takes over its configuration first."""
    entered = Session(
        identity.key,
        joined,
        is_founder=is_founder,
        is_rank=identity.leads is not None,
        is_shared=identity.is_shared,
        recording_key=_recording_key(identity, joined),
        settings=settings,
    )
    if joined.root != joined.nonce[:ROOT_BYTES] and not joined.ring.words[Header.CONFIG_REVISION]:
        note = identity.note or heirs.find_note(os.path.basename(joined.living_path), joined.root)
        if note is not None:
            # Also if the session's founder was killed before it could do so.
            entered.config_editor.edit(lambda config: config if config.revision else heirs.continued(note))
    return entered


def _recording_key(identity: Identity, joined: Segment) -> bytes | None:
    if identity.is_shared:
        return named.recording_key(identity.key, joined.root)
    return None if identity.job is None else recording_key_of(identity.job)


def withdraw(founded: Session) -> None:
    """Remove everything of a session that its founder has just founded, because it cannot begin."""
    withdrawn = founded.segment
    # The guard ends when it reads this. What it does until then must not make the directories anew.
    withdrawn.ring.words[Header.SESSION_STATE] = SessionState.ENDED
    wait_until(lambda: not collector_check.is_starting(withdrawn), WITHDRAWAL_SECS)
    if withdrawn.participants is not None:
        withdrawn.participants.release()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(withdrawn.path)
    doorbell.remove(withdrawn.nonce)
    directories.remove_tree(withdrawn.runtime_directory)
    directories.remove_tree(withdrawn.spool_directory)


def geometry_for(settings: Settings) -> Geometry:
    """Return the sizes of a new segment: those of the settings, or less where /dev/shm or ulimit -f leaves less."""
    free = os.statvfs(segment.DIRECTORY)
    room = free.f_bavail * free.f_frsize // 2
    # The limit for files applies to the segment: half of it for the slots, the rest for the tables beside them.
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY:
        room = min(room, limit // 2)
    ring_bytes, slot_bytes = min(settings.ring_bytes, room), settings.slot_bytes
    # In a small ring, enough slots for all processes matter more than large slots.
    while slot_bytes > MIN_SLOT_BYTES and ring_bytes // slot_bytes < MIN_FULL_SIZE_SLOTS:
        slot_bytes //= 2
    slots = max(segment.MIN_SLOTS, ring_bytes // slot_bytes)
    # A small /dev/shm, as in a container, also gets a small producers table.
    producers = min(settings.producers, max(MIN_PRODUCERS, room // 4 // PRODUCER_BYTES))
    return Geometry(slot_bytes, slots, producers)
