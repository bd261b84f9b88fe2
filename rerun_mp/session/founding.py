"""Founds a session or joins the one of this process tree: its key, its name in /dev/shm, the size of its ring.

A session is one process tree: one segment, one collector. Its key is derived from multiprocessing's authkey, or from
random bytes in a process that has not loaded multiprocessing. RERUN_MP_SESSION overrides both; `current` exports it for
children without the authkey. Any thread may call.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, parse_key, segment_name, session_key
from rerun_mp.errors import SessionError
from rerun_mp.session import directories, origin
from rerun_mp.session.refusals import as_resource_error
from rerun_mp.session.session import Session
from rerun_mp.session.waiting import pause_length
from rerun_mp.shm import ordering, segment
from rerun_mp.shm.layout import PRODUCER_BYTES, Geometry

if TYPE_CHECKING:
    from rerun_mp.settings import Settings
    from rerun_mp.shm.segment import Segment

__all__ = ["find_key", "found_or_join", "geometry_for", "join"]

MIN_SLOT_BYTES = 64 * 1024
"""Bytes below which slots are not halved to make more of them."""
MIN_FULL_SIZE_SLOTS = 128
"""Slots are halved while the ring holds fewer than this."""
MIN_PRODUCERS = 64
"""Entries of the producers table, however small /dev/shm is."""
ENDING_TIMEOUT_SECS = 10
"""Seconds that founding waits for an ending session to give up its name."""


def find_key(*, may_create: bool) -> bytes | None:
    """Return the key of this process tree's session. `may_create`: draw one if there is none."""
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    if text is not None:
        key = parse_key(text)
        if key is not None:
            return key
        if may_create:
            sys.stderr.write(f"rerun_mp: {ENVIRONMENT_VARIABLE} is not a session's key (64 hex digits); ignored\n")
    if "multiprocessing.process" not in sys.modules:
        # multiprocessing did not start this process. Its children will find the key in the environment, and loading
        # multiprocessing just for its authkey would double the time of `init`.
        return session_key(os.urandom(32)) if may_create else None
    from multiprocessing.process import current_process

    return session_key(bytes(current_process().authkey))


def join(key: bytes) -> Session | None:
    """Join the session with this key. None if there is none.

    Raises
    ------
    ResourceError
        If the segment there cannot be used.
    """
    joined = _attach(_path_of(key))
    return None if joined is None else Session(key, joined)


def found_or_join(key: bytes, settings: Settings) -> Session:
    """Join the session with this key, or found it with these settings.

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
    path = _path_of(key)
    deadline = time.monotonic() + ENDING_TIMEOUT_SECS
    attempt = 0
    with as_resource_error("the session cannot be founded or joined"):
        while True:
            joined = _attach(path)
            if joined is not None:
                return Session(key, joined, settings=settings)
            created = _create(path, settings)
            if created is not None:
                return _found(key, created, settings)
            # The session that has this name is ending, and gives up the name when its segment is renamed.
            if time.monotonic() > deadline:
                raise SessionError(f"the session at {path} neither lives nor ends; remove that file if it is unused")
            time.sleep(pause_length(attempt))
            attempt += 1


def _attach(path: str) -> Segment | None:
    """Join the segment at `path`, with a share in its participants lock and its life lock. None: there is none."""
    joined = segment.attach(path)
    if joined is not None:
        joined.life = origin.hold_life(joined.spool_directory)
    return joined


def _create(path: str, settings: Settings) -> Segment | None:
    nonce = os.urandom(16)
    # The directories come first: a process that finds the segment must be able to start a collector. With the origin
    # and the life lock in them, a process with another /dev/shm knows that it must not recover the session.
    with directories.bases_for_new_session() as bases:
        runtime, spool = (os.path.join(base, nonce.hex()[:16]) for base in bases)
        created = None
        try:
            life = origin.begin(runtime, spool)
            created = segment.create(
                path,
                geometry_for(settings),
                nonce,
                runtime_directory=runtime,
                spool_directory=spool,
                policy=settings.policy,
                block_timeout_ns=int((settings.block_timeout or 0) * 1e9),
                flush_tick_ns=int(settings.flush_tick * 1e9),
                spool_bytes=settings.spool_bytes,
                ordering=ordering.choose(),
            )
        finally:
            if created is None:
                directories.remove_tree(runtime)
                directories.remove_tree(spool)
    if created is not None:
        created.life = life
    return created


def _found(key: bytes, created: Segment, settings: Settings) -> Session:
    founded = Session(key, created, is_founder=True, settings=settings)
    if settings.figures is not None:
        founded.config_editor.edit(lambda config: replace(config, figures=settings.figures))
    return founded


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


def _path_of(key: bytes) -> str:
    return os.path.join(segment.DIRECTORY, segment_name(key))
