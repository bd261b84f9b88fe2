"""Identifiers that each process of a session derives by itself: session key, recording ids, row ids.

A session key is HMAC-SHA256(authkey, constant), so it is equal in all processes that multiprocessing starts from one
parent. Identifiers that other users can see (the segment's name, recording ids) are another HMAC of the key, so they
reveal neither key nor authkey.

A `RowIds` belongs to one producer. Its caller holds that producer's mutex, or is the only caller.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.shm.interruptions import Mark, is_own, is_running

if TYPE_CHECKING:
    from types import CodeType, FrameType

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "ROOT_BYTES",
    "RowIds",
    "SessionName",
    "job_key",
    "parse_name",
    "recording_id",
    "segment_name",
    "session_key",
]

ENVIRONMENT_VARIABLE = "RERUN_MP_SESSION"
ROOT_BYTES = 8
"""Bytes of a root: the beginning of the nonce of the root session."""


class SessionName(NamedTuple):
    """Names one session and the sessions that continue it. The environment variable holds it for child processes."""

    key: bytes
    root: bytes = b""
    """Empty: any session with that key."""

    @property
    def text(self) -> str:
        """The text of the environment variable."""
        return f"{self.key.hex()}-{self.root.hex()}" if self.root else self.key.hex()


def session_key(authkey: bytes) -> bytes:
    """Return the session key of the process tree that shares `authkey`."""
    return hmac.new(authkey, b"rerun_mp session 1", hashlib.sha256).digest()


def job_key(job: str) -> bytes:
    """Return the session key that all ranks of a launcher's job derive from the text that identifies the job."""
    return hmac.new(b"rerun_mp job 1", job.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()


def parse_name(text: str) -> SessionName | None:
    """Read the environment variable's text: a key, or a key and a root. None: the text names no session."""
    key_text, dash, root_text = text.partition("-")
    try:
        name = SessionName(bytes.fromhex(key_text), bytes.fromhex(root_text))
    except ValueError:
        return None
    is_valid = len(name.key) == 32 and len(name.root) == (ROOT_BYTES if dash else 0)
    return name if is_valid else None


def segment_name(key: bytes, root: bytes = b"") -> str:
    """Return the file name of a session's segment.

    A program may find a stranger's session under its key. Then its own session's segment has a name that depends on
    the `root`, too.
    """
    return "rmp-" + hmac.new(key, b"segment" + root, hashlib.sha256).hexdigest()[:24]


def recording_id(key: bytes, application_id: str) -> str:
    """Return the default recording id of an application in a session, a version-4 UUID (RFC 9562)."""
    raw = bytearray(hmac.new(key, b"recording:" + application_id.encode(), hashlib.sha256).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


BLOCK_ROWS = 1 << 16
"""Ids of one block of the range set aside."""
SET_ASIDE_ROWS = 1 << 32
"""Ids set aside in all."""


class RowIds:
    """Mints row ids (TUIDs): the producer's clock in nanoseconds, then a counter that starts at a random number.

    Row ids ascend even when the clock steps back. A forked child needs a `RowIds` of its own, or it would repeat its
    parent's counter. Several threads share it under a mutex; a call that interrupts another one on the same thread gets
    ids from a range set aside, so that no id is minted twice.

    A function for which the call of `mint` is too slow may do the same itself, on these attributes. It must name this
    object `row_ids`, and `add_minter` must know its code.
    """

    __slots__ = ("_minters", "_set_aside", "first", "last", "minting", "next")

    def __init__(self) -> None:
        # 62 random bits leave room for 2**62 increments at least.
        self.first = int.from_bytes(os.urandom(8), "little") >> 2
        """Counter half of the first id. Random, so that no two producers' ids collide."""
        self._set_aside = count(self.first, BLOCK_ROWS)
        """The first counter of each block of the range set aside."""
        self.next = self.first + SET_ASIDE_ROWS
        """The counter half of the next id."""
        self.last = 0
        """The greatest time half so far; 0 or greater."""
        self.minting = Mark()
        """Set while an id is being minted."""
        self._minters = {RowIds.mint.__code__}
        """The code of the functions that mint."""

    def add_minter(self, code: CodeType) -> None:
        """Let functions with this code mint without a call of `mint`."""
        self._minters.add(code)

    def mint(self, rows: int) -> tuple[int, int]:
        """Return (time half, counter half) of the first of `rows` consecutive ids."""
        now = time.time_ns()
        try:
            del self.minting.free
        except AttributeError as error:
            if not is_own(error):
                raise
            if is_running(self._minters, self._is_minted_by):
                return max(self.last, now), self._take_set_aside(rows)
            # An exception has ended a call before it had taken ids, or after.
        first = self.next
        self.next = first + rows
        if now > self.last:
            self.last = now
        self.minting.free = True
        return self.last, first

    def _is_minted_by(self, frame: FrameType) -> bool:
        """Return whether a function that mints does so from this object."""
        names = frame.f_locals
        return names.get("self") is self or names.get("row_ids") is self

    def _take_set_aside(self, rows: int) -> int:
        """Return the first of `rows` consecutive counters of the range set aside."""
        blocks = -(-rows // BLOCK_ROWS)
        while True:
            taken = [next(self._set_aside) for _ in range(blocks)]
            if taken[-1] - taken[0] == (blocks - 1) * BLOCK_ROWS:  # else a further call took some in between
                return taken[0]

    def reach(self, time_ns: int) -> None:
        """Raise the time half of all later ids to at least `time_ns`."""
        self.last = max(self.last, time_ns)
