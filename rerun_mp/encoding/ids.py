"""Names that every process of a tree works out for itself: session key, recording ids, row ids.

A session's key is HMAC-SHA256(authkey, constant): equal in all processes that multiprocessing started from one
parent. Everything that others can see (the segment's name, recording ids) is drawn from the key by another HMAC, so
that it reveals neither key nor authkey.

`RowIds` belongs to one producer; its methods are called under that producer's mutex, or alone.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time

__all__ = ["ENVIRONMENT_VARIABLE", "RowIds", "parse_key", "recording_id", "segment_name", "session_key"]

ENVIRONMENT_VARIABLE = "RERUN_MP_SESSION"


def session_key(authkey: bytes) -> bytes:
    """Return the key of the session of the process tree that shares `authkey`."""
    return hmac.new(authkey, b"rerun_mp session 1", hashlib.sha256).digest()


def parse_key(text: str) -> bytes | None:
    """Read a key from the environment variable's text. None if it is not one."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return None
    return key if len(key) == 32 else None


def segment_name(key: bytes) -> str:
    """Return the file name of the session's segment."""
    return "rmp-" + hmac.new(key, b"segment", hashlib.sha256).hexdigest()[:24]


def recording_id(key: bytes, application_id: str) -> str:
    """Return the default recording id of an application in a session: a version-4 UUID, RFC 9562."""
    raw = bytearray(hmac.new(key, b"recording:" + application_id.encode(), hashlib.sha256).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class RowIds:
    """Mints row ids (TUIDs): the producer's own clock in nanoseconds, then a counter from a random start.

    Ascending even when the clock steps back. A forked child must have its own: it would repeat its parent's counter.
    Threads and signal handlers may interrupt each other here: what must be one step has no call in it.
    """

    __slots__ = ("_last", "_next", "first")

    def __init__(self) -> None:
        # 62 random bits leave room to count without ever wrapping.
        self.first = self._next = int.from_bytes(os.urandom(8), "little") >> 2
        """Counter half of the first id: no other producer's ids lie near it."""
        self._last = 0

    def mint(self, rows: int) -> tuple[int, int]:
        """Return (time half, counter half) of the first of `rows` consecutive ids."""
        now = time.time_ns()
        first = self._next
        self._next = first + rows
        last = self._last
        self._last = max(last, now)
        return self._last, first

    def reach(self, time_ns: int) -> None:
        """Let no later id have a smaller time half than this."""
        self._last = max(self._last, time_ns)
