"""Rehearses a first row before the first fork, so that the first row of a forked child copies fewer pages.

A forked child copies each page that it writes to. A method that runs for the first time writes to many: the interpreter
remembers what it has looked up, and forgets what it remembered before. Children inherit what their parent remembers. So
before its first fork, a process registers a producer and appends a row in a ring of its own, which no other process
knows and which is gone afterwards.

Called in the hook before a fork, which other threads may call, too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.row_layouts import ValueKind
from rerun_mp.encoding.tables import TableShape
from rerun_mp.fast.scalars import Scalars
from rerun_mp.producer.open_table import TableRow
from rerun_mp.session.producer_start import make_producer
from rerun_mp.session.session import fork_guard
from rerun_mp.shm import kernel
from rerun_mp.shm.doorbell import Ringer
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import Geometry, Header
from rerun_mp.shm.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["rehearse"]

ROUNDS = 2
"""Number of first rows."""
GEOMETRY = Geometry(slot_bytes=16 << 10, slots=2 * ROUNDS, producers=ROUNDS)


def rehearse(directory: str) -> None:
    """Rehearse in a file of a private directory. If the system refuses something, children copy more pages."""
    path = os.path.join(directory, f"rehearsal-{os.getpid()}-{os.urandom(4).hex()}")
    try:
        _rehearse_in(path)
    except Exception as error:  # whatever it is, the first row of a child or the program itself meets it again
        if not is_own(error):
            raise


def _rehearse_in(path: str) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, GEOMETRY.total_bytes)  # a store into a page without space raises SIGBUS
        address = kernel.map_file(descriptor, GEOMETRY.total_bytes, writable=True)
        try:
            _log_first_rows(Segment(path, os.fstat(descriptor).st_ino, address, GEOMETRY, None))
        finally:
            kernel.unmap(address, GEOMETRY.total_bytes)
    finally:
        os.close(descriptor)
        os.unlink(path)


def _log_first_rows(segment: Segment) -> None:
    nonce, ring = os.urandom(16), segment.ring
    ring.format(nonce, policy=0, block_timeout_ns=0, flush_tick_ns=0, created_ns=0)
    # No socket lies below a file, so nobody hears of these producers.
    raw = os.fsencode(segment.path)
    ring.memory[Header.RUNTIME_DIRECTORY + 8 : Header.RUNTIME_DIRECTORY + 8 + len(raw)] = raw
    ring.words[Header.RUNTIME_DIRECTORY // 8] = len(raw)
    shape = TableShape(RecordingKey("rehearsal", ""), ValueKind.SCALARS, (), True, ())
    row = TableRow(shape, "number", b"/number", Scalars(0.0), {})
    for _ in range(ROUNDS):
        producer = make_producer(segment, fork_guard(), Ringer(nonce), _do_nothing, _refuse, _no_scope)
        producer.append_row(row)
        producer.close()


def _do_nothing() -> None:
    """Stands for starting a collector."""


def _refuse() -> None:
    raise OSError("a rehearsal found no space")


_no_scope: Callable[[], int] = int
