"""The slot into which a producer appends frames, one call after the other.

The first frame of a shape is preceded by the shape's declaration; later frames of the slot refer to its offset.

Belongs to one producer. Its caller holds the producer's mutex, except for `append_alone`, which touches no state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rerun_mp.encoding.frames import pack_rows_head, pack_shape
from rerun_mp.encoding.tables import MIN_WIDE_ROW_BYTES
from rerun_mp.shm.layout import Attention, Header, Kind

if TYPE_CHECKING:
    from rerun_mp.encoding.frames import Rows, Shape
    from rerun_mp.encoding.ids import RowIds
    from rerun_mp.producer.claims import Claims
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["FrameSlot", "pack_message"]

PACKING_BYTES = 128
"""Upper bound of what packing adds besides texts: two headers, paddings, the fixed fields."""


class FrameSlot:
    """Appends frames to slots of the ring, and keeps one slot open between calls."""

    __slots__ = ("_claims", "_declared", "_keeps_open", "_ring", "_row_ids", "_words", "_writer", "slot")

    def __init__(self, writer: SlotWriter, claims: Claims, row_ids: RowIds) -> None:
        self._writer = writer
        self._ring = writer.ring
        self._words = writer.ring.words
        self._claims = claims
        self._row_ids = row_ids
        self.slot = -1
        """The open slot; -1: none."""
        self._keeps_open = False
        """Whether the slot stays open after a call."""
        self._declared: dict[Shape, int] = {}
        """Offset in the open slot of each shape's declaration."""

    def fits(self, rows: Rows) -> bool:
        """Say whether an empty slot has room for the rows."""
        # Each character of a text may take four bytes.
        texts = len(rows.shape.schema) + sum(4 * len(text) for text in rows.shape.recording) + len(rows.entity_path)
        return rows.size + texts + PACKING_BYTES <= self._ring.geometry.slot_bytes

    def append(self, rows: Rows) -> bool:
        """Append rows to the open slot, or else to a new one. False: the ring has no space now."""
        if self.slot >= 0 and self._append_at(self._words[self._ring.count_word(self.slot)], rows):
            return True
        self.seal()
        self._claims.repair()
        slot = self._claims.claim(Kind.FRAMES, rows.rows, maps_ahead=rows.size >= MIN_WIDE_ROW_BYTES)
        if slot is None:
            return False
        self.slot = slot
        self._keeps_open = self._ring.has_room_to_keep()
        return self._append_at(0, rows)

    def append_alone(self, rows: Rows) -> bool:
        """Append rows to a slot of their own: no other call's state is touched. False: the ring has no space now."""
        pieces, size = pack_message(rows, self._row_ids)
        slot = self._claims.claim(Kind.FRAMES, rows.rows, maps_ahead=rows.size >= MIN_WIDE_ROW_BYTES)
        if slot is None:
            return False
        try:
            self._writer.write(slot, 0, pieces, size, rows.rows)
        finally:
            # With a count of 0 the collector frees the slot as if it were abandoned.
            self._writer.seal(slot)
        return True

    def seal(self) -> None:
        """Give the open slot, if there is one, to the collector."""
        slot, self.slot = self.slot, -1
        self._declared = {}
        if slot >= 0:
            self._writer.seal(slot)

    def _append_at(self, used: int, rows: Rows) -> bool:
        """Append rows behind the first `used` bytes of the open slot. False: they do not fit."""
        declared = self._declared.get(rows.shape)
        declaration = b"" if declared is not None else pack_shape(rows.shape)
        head, size = _pack_head(rows, used if declared is None else declared, self._row_ids)
        count = used + len(declaration) + size
        if count > self._ring.geometry.slot_bytes:
            return False
        before = self._words[self._ring.rows_word(self.slot)] if used else 0
        self._writer.write(self.slot, used, (declaration, head, *rows.pieces), count, before + rows.rows)
        if declared is None:
            self._declared[rows.shape] = used
        if not self._keeps_open or self._words[Header.ATTENTION] & Attention.PRESSURE:
            self.seal()
        return True


def pack_message(rows: Rows, row_ids: RowIds) -> tuple[tuple[bytes | memoryview, ...], int]:
    """Return the pieces of a message that begins a slot, and its size in bytes."""
    declaration = pack_shape(rows.shape)
    head, size = _pack_head(rows, 0, row_ids)
    return (declaration, head, *rows.pieces), len(declaration) + size


def _pack_head(rows: Rows, shape_offset: int, row_ids: RowIds) -> tuple[bytes, int]:
    """Return a frame's head, with new row ids, and the frame's size in bytes."""
    return pack_rows_head(rows.kind, shape_offset, rows.rows, *row_ids.mint(rows.rows), rows.entity_path, rows.size)
