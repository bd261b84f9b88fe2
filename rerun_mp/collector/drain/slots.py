"""Reading one slot: a frame slot, a chain or a table slot becomes frames or rows in private memory.

Shared memory is not trusted: every range is checked, then copied, and parsed only in the copy. Damage raises
`CorruptionError` or is returned beside the frames that lie before it. Used by the worker's main thread only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace

import numpy as np

from rerun_mp.collector.drain.table_rows import Dictionary, RunningClock, TakenRows, copy_rows
from rerun_mp.encoding.chains import EPOCH_MASK, preamble_bytes, unpack_chain
from rerun_mp.encoding.frames import (
    FILE_REFERENCE,
    LARGE_FILE_PREFIX,
    FrameKind,
    RowsFrame,
    Shape,
    unpack_frames,
)
from rerun_mp.encoding.tables import TablePlan, TableShape, head_bytes, unpack_head
from rerun_mp.errors import CorruptionError
from rerun_mp.shm.layout import PAGE, Kind, Line, ProducerWord, SlotState, unpack_owner
from rerun_mp.shm.ring import Ring

__all__ = ["SlotReader"]

MAX_FILE_BYTES = 1 << 40
"""Maximum bytes read from one spool file of a producer."""
MAX_CACHED_SHAPE_BYTES = 64 * 1024 * 1024
"""Maximum bytes of slots read into the cache of frame shapes; the cache is cleared beyond it."""

BATCH_KINDS = (FrameKind.ROWS, FrameKind.STREAM, FrameKind.BLOCKS)
"""Kinds of the batches in files."""
MAX_DICTIONARIES = 256
"""Maximum number of dictionaries kept for the next slots of their owners."""


class SlotReader:
    """Reads the slots of one ring, and caches per slot what its later rows need: shapes, plan and dictionary."""

    def __init__(self, ring: Ring, spool_directory: str) -> None:
        self._ring = ring
        self._words = ring.words
        self._geometry = ring.geometry
        self._spool = spool_directory
        self._shapes: dict[int, tuple[int, dict[int, Shape]]] = {}
        """frame slot -> (epoch, offset -> shape declared there)."""
        self._cached_shapes: dict[bytes, Shape] = {}
        """Bytes of a declaration -> its shape, for all slots."""
        self._cached_bytes = 0
        self._tables: dict[int, tuple[int, TableShape, TablePlan, Dictionary, RunningClock]] = {}
        """table slot -> (epoch, shape, plan, what has been read of its dictionary, the last row's time)."""
        self._dictionaries: dict[tuple[int, TableShape], Dictionary] = {}
        """(owner, shape) -> the dictionary of the owner's last table slot of that shape."""

    def forget(self, slot: int) -> None:
        """Forget a slot that begins another epoch."""
        self._shapes.pop(slot, None)
        self._tables.pop(slot, None)

    def scope(self, producer: int) -> int:
        """Return the scope of a producer: `config.Scope`."""
        return self._words[self._geometry.producer_word(producer) + ProducerWord.SCOPE]

    def read_frames(
        self, slot: int, epoch: int, start: int, stop: int
    ) -> tuple[list[RowsFrame], int, CorruptionError | None]:
        """Return the frames in bytes [start, stop) of a frame slot, where they end, and the damage that ends them."""
        if stop > self._geometry.slot_bytes:
            raise CorruptionError(f"slot {slot} claims {stop} bytes")
        offset = self._geometry.slot_offset(slot)
        cached_epoch, shapes = self._shapes.get(slot, (-1, {}))
        if cached_epoch != epoch:
            shapes = {}
            if start:
                # An earlier collector has taken the bytes in which these shapes are declared.
                unpack_frames(self._copy(offset, offset + start), 0, shapes, known=self._cached_shapes)
            self._shapes[slot] = (epoch, shapes)
        self._bound_cache(stop)
        return unpack_frames(self._copy(offset + start, offset + stop), start, shapes, known=self._cached_shapes)

    def count_rows_before(self, slot: int, stop: int) -> int:
        """Return how many rows lie before byte `stop` of a frame slot, up to any damage; 0 for other kinds."""
        is_frame_slot = self._words[self._geometry.line_word(slot) + Line.KIND] == Kind.FRAMES
        if not is_frame_slot or not 0 < stop <= self._geometry.slot_bytes:
            return 0
        offset = self._geometry.slot_offset(slot)
        frames, _, _ = unpack_frames(self._copy(offset, offset + stop), 0, {}, known=self._cached_shapes)
        return sum(frame.rows for frame in frames)

    def read_table(self, slot: int, epoch: int, start: int, stop: int, *, owner: int, scope: int) -> TakenRows:
        """Return rows [start, stop) of a table slot. `owner`: its state word without the state."""
        offset, slot_bytes = self._geometry.slot_offset(slot), self._geometry.slot_bytes
        cached = self._tables.get(slot)
        if cached is None or cached[0] != epoch:
            head = self._copy(offset, offset + PAGE)
            if head_bytes(head) > PAGE:
                head = self._copy(offset, offset + slot_bytes // 4)
            shape, plan = unpack_head(head, slot_bytes)
            dictionary = Dictionary(self._dictionaries.pop((owner, shape), None))
            cached = self._tables[slot] = (epoch, shape, plan, dictionary, RunningClock())
            if len(self._dictionaries) >= MAX_DICTIONARIES:
                del self._dictionaries[next(iter(self._dictionaries))]
            self._dictionaries[owner, shape] = dictionary
        _, shape, plan, dictionary, clock = cached
        rows = (slot, epoch, start, stop)
        return copy_rows(self._ring.memory, offset, slot_bytes, shape, plan, rows, dictionary, scope, clock)

    def read_chain(self, slot: int, state: int) -> tuple[list[RowsFrame], CorruptionError | None]:
        """Return the frame of the chain whose head is `slot` with the state word `state`, or its damage."""
        parts, total, begin = self._chain(slot)
        for part, epoch in parts:
            if not self.is_part(part, epoch, state):
                raise CorruptionError(f"slot {part} is no part of the chain that begins in slot {slot}")
        self._bound_cache(total)
        capacity = self._geometry.slot_bytes
        message = np.empty(total, dtype=np.uint8).data
        at = 0
        for number, first in ((slot, begin), *((part, 0) for part, _ in parts)):
            n = min(capacity - first, total - at)
            offset = self._geometry.slot_offset(number) + first
            message[at : at + n] = self._ring.memory[offset : offset + n]
            at += n
        # The frame's padding holds arbitrary bytes: the producer does not write it, and no reader looks at it.
        frames, _, error = unpack_frames(message.toreadonly(), 0, {}, known=self._cached_shapes)
        return ([] if error else frames), error

    def chain_parts(self, slot: int) -> list[tuple[int, int]]:
        """Return (slot, epoch) of each part that a chain's head names."""
        return self._chain(slot)[0]

    def is_part(self, slot: int, epoch: int, head: int) -> bool:
        """Return whether a slot is a part of a chain whose head has the state word `head`."""
        line = self._geometry.line_word(slot)
        return (
            self._words[line + Line.STATE] == head & ~0xFF | SlotState.OPEN
            and self._words[line + Line.KIND] == Kind.PART
            and self._words[line + Line.EPOCH] & EPOCH_MASK == epoch
        )

    def read_file(self, frame: RowsFrame, state: int, files: list[str]) -> RowsFrame:
        """Return the frame that a spool file holds, if `frame` names one, and add the file's path to `files`.

        A file that cannot be read gives a frame without a body, which counts as damaged. `state` is the state word of
        the frame's slot.
        """
        if frame.kind != FrameKind.FILE:
            return frame
        body = memoryview(b"")
        kind = FrameKind.ROWS
        if len(frame.body) > FILE_REFERENCE.size:
            number, size = FILE_REFERENCE.unpack_from(frame.body)
            name = bytes(frame.body[FILE_REFERENCE.size :]).decode("utf-8", "replace")
            # A frame may name only files of its own producer: any other file holds another producer's row.
            owner, generation = unpack_owner(state)
            is_ours = name.startswith(f"{LARGE_FILE_PREFIX}{owner}-{generation}-") and not {"/", "\0"} & {*name}
            if number in BATCH_KINDS and is_ours:
                kind = FrameKind(number)
                path = os.path.join(self._spool, name)
                body = _read_private(path, min(size, MAX_FILE_BYTES))
                files.append(path)
        return replace(frame, kind=kind, body=body)

    def _chain(self, slot: int) -> tuple[list[tuple[int, int]], int, int]:
        offset = self._geometry.slot_offset(slot)
        slots, capacity = self._geometry.slots, self._geometry.slot_bytes
        return unpack_chain(self._copy(offset, offset + min(preamble_bytes(slots), capacity)), slots, capacity)

    def _copy(self, start: int, stop: int) -> memoryview:
        """Copy bytes of the segment into private memory, aligned as Arrow requires."""
        view = np.empty(stop - start, dtype=np.uint8).data
        view[:] = self._ring.memory[start:stop]
        return view.toreadonly()

    def _bound_cache(self, num_bytes: int) -> None:
        """Clear the cache of shapes if the slots read since it was empty, and `num_bytes` more, exceed the maximum."""
        self._cached_bytes = self._cached_bytes + num_bytes if self._cached_shapes else 0
        if self._cached_bytes > MAX_CACHED_SHAPE_BYTES:
            self._cached_shapes.clear()


def _read_private(path: str, size: int) -> memoryview:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return memoryview(b"")
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            return memoryview(b"")
        with open(descriptor, "rb", closefd=False) as file:
            return memoryview(file.read(size))
    except OSError:
        return memoryview(b"")
    finally:
        os.close(descriptor)
