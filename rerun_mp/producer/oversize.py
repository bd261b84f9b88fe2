"""Messages that no slot holds: a chain over several slots, or a file of the spool that a small frame names.

Belongs to one producer. Its caller holds the producer's mutex, or appends to slots that no other call knows.
"""

from __future__ import annotations

import contextlib
import functools
import os
from io import FileIO
from typing import TYPE_CHECKING

from rerun_mp.encoding.chains import chain_slots, pack_chain
from rerun_mp.encoding.frames import FILE_REFERENCE, FrameKind, large_file_prefix
from rerun_mp.errors import RingFullError
from rerun_mp.producer.frame_slot import pack_message
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.layout import LINE_WORDS, Header, Line, unpack_owner
from rerun_mp.shm.remedies import remedy
from rerun_mp.shm.transient import close_in_children
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rerun_mp.encoding.frames import Rows
    from rerun_mp.encoding.ids import RowIds
    from rerun_mp.producer.claims import Claims
    from rerun_mp.producer.frame_slot import FrameSlot
    from rerun_mp.producer.full_ring import FullRing
    from rerun_mp.shm.segment import Segment
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["Oversize"]

RING_SHARE = 4
"""One message takes at most this fraction (1/4) of the usable slots; a larger one goes through a file."""
OPEN_PRIVATE = functools.partial(os.open, mode=0o600)
"""An opener without a line of Python, so that no signal handler runs in it."""


class Oversize:
    """Appends messages that are larger than a slot."""

    def __init__(
        self,
        segment: Segment,
        writer: SlotWriter,
        claims: Claims,
        frames: FrameSlot,
        full_ring: FullRing,
        row_ids: RowIds,
    ) -> None:
        self._segment = segment
        self._ring = segment.ring
        self._words = segment.ring.words
        self._first_epoch = segment.ring.geometry.line_word(0) + Line.EPOCH
        self._writer = writer
        self._claims = claims
        self._frames = frames
        self._full_ring = full_ring
        self._row_ids = row_ids
        self._files = 0
        """Files of the spool that this producer has begun."""

    def append(self, rows: Rows, take: Callable[[int, int], list[int]]) -> bool:
        """Append rows over the slots that `take` returns, or through a file. False: there is no space now."""
        pieces, size = pack_message(rows, self._row_ids)
        slots = chain_slots(size, self._ring.geometry.slot_bytes)
        if slots * RING_SHARE > self._words[Header.USABLE_SLOTS]:
            return self._append_file(rows)
        return self._write_chain(take(slots, rows.rows), slots, size, rows.rows, pieces)

    def take_chain(self, slots: int) -> list[int]:
        """Take slots for a message of one row. An empty list: there is no space now, or the message needs a file."""
        if slots * RING_SHARE > self._words[Header.USABLE_SLOTS]:
            return []
        chain = self._claims.take_spares(slots, 1)
        if len(chain) == slots:
            return chain
        self._writer.abandon(chain)
        return []

    def give_back(self, chain: list[int]) -> None:
        """Give a chain's slots to the collector: a committed chain as its head, the slots of any other as abandoned."""
        if chain and self._words[self._ring.count_word(chain[0])]:
            # The collector frees the whole chain with its head.
            self._writer.seal(chain[0])
        else:
            self._writer.abandon(chain)

    def _write_chain(
        self, chain: list[int], slots: int, size: int, rows: int, pieces: Iterable[bytes | memoryview]
    ) -> bool:
        """Write a message of `size` bytes over a chain. False: it has fewer than `slots` slots; they are given back."""
        words, first_epoch = self._words, self._first_epoch
        try:
            if len(chain) < slots:
                return False
            parts = [(slot, words[first_epoch + slot * LINE_WORDS]) for slot in chain[1:]]
            self._writer.join(chain[1:])
            self._writer.scatter(chain, (pack_chain(parts, size), *pieces))
            self._writer.commit(chain[0], 1, rows)
            return True
        finally:
            self.give_back(chain)

    def _append_file(self, rows: Rows) -> bool:
        """Write the batch into a private file of the spool, and append a small frame that names it.

        Raises
        ------
        RingFullError
            If the file cannot be written, unless the policy drops.
        """
        if not self._words[Header.FREE_SLOTS]:
            # Else each attempt of a call that waits for space would write the file again.
            return False
        directory = self._segment.spool_directory
        self._files += 1
        name = large_file_prefix(*unpack_owner(self._writer.owner)) + str(self._files)
        path = os.path.join(directory, name)
        try:
            # Each by itself: makedirs would open the base to other users, and no session could be founded there.
            for one in (os.path.dirname(directory), directory):
                os.makedirs(one, mode=0o700, exist_ok=True)
            self._write_file(path, rows.pieces)
        except BaseException as error:
            self._remove_file(path)
            if not isinstance(error, OSError) or not is_own(error) or not self._writer.is_intact:
                raise
            self._full_ring.refuse(
                f"a row of {rows.size} bytes, which the ring is too small for, cannot be written to {directory}: "
                f"{error.strerror}; it was not logged. {remedy(error)} Or set XDG_CACHE_HOME to another disk, or "
                "enlarge the ring (RERUN_MP_RING_BYTES).",
                f"a row larger than the ring could not be written to the spool ({error.strerror})",
                error,
                rows.rows,
            )
            return False
        reference = FILE_REFERENCE.pack(rows.kind, rows.size) + name.encode()
        frame = rows._replace(kind=FrameKind.FILE, pieces=(reference,), size=len(reference))
        try:
            written = self._frames.append_alone(frame)
        except RingFullError:
            self._remove_file(path)
            raise
        if not written:
            self._remove_file(path)
        return written

    def _write_file(self, path: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Write a file of the spool. A child forked in the middle stops: the file is its parent's.

        Raises
        ------
        ForkedError
            In that child.
        """
        alive, armed = self._writer.alive, self._writer.armed
        # No signal handler runs between this check and the file's creation: parent and child know the same name.
        if not alive[armed]:
            raise ForkedError
        with FileIO(path, "x", opener=OPEN_PRIVATE) as file:
            close_in_children(file)
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    if not alive[armed]:
                        raise ForkedError
                    view = view[file.write(view) :]

    def _remove_file(self, path: str) -> None:
        """Remove a file of the spool that no frame names, unless it belongs to this process's parent."""
        if self._writer.is_intact:
            with contextlib.suppress(OSError):
                os.unlink(path)
