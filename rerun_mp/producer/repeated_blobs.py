"""The fast path for loops over images: it reuses the bytes of the row before, and copies only the new blob.

`log` finds a `BlobAppend` in its lane, where it also finds the appends of tables. A `BlobAppend` takes archetypes of
one class, format and size, with the same timelines, and writes the same bytes as the slow path. Calls with images are
rare and find cold caches, so the time around the copy depends on how much memory they touch.

Belongs to one producer. Any thread may call it; the producer's mutex guards the shared state.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rerun_mp.encoding.chains import chain_slots
from rerun_mp.encoding.frames import FrameKind, Rows, pack_rows_head, pack_shape
from rerun_mp.errors import SessionEndedError
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rerun_mp.encoding.encoder import BlobTemplate

__all__ = ["BlobAppend", "KnownMessage"]

ID_BYTES = 16
ID_OFFSET = 16
"""Offset of the row id in a ROWS frame, behind header, shape and number of rows."""
MAX_ENTITIES = 1024
"""Upper bound of entities whose messages are cached; the cache is cleared beyond it."""


class KnownMessage(NamedTuple):
    """A message over several slots, except for its row id, times and blob."""

    slots: int
    total: int
    """Size of the message in bytes."""
    pack: Callable[..., bytes]
    """(`before`, time half, counter half, `between`, times ..., `behind`) -> the bytes before the blob."""
    before: bytes
    between: bytes
    behind: bytes
    after: bytes
    """The bytes behind the blob."""


class BlobProducer(Protocol):
    """The part of `Producer` that a `BlobAppend` uses."""

    @property
    def slot_bytes(self) -> int:
        """Size of each slot in bytes."""

    @property
    def is_intact(self) -> bool:
        """False in a process forked since the producer registered."""

    @property
    def is_closed(self) -> bool:
        """Whether the producer has been closed."""

    def append(self, rows: Rows) -> bool:
        """See `Producer.append`."""

    def append_known(self, message: KnownMessage, times: Sequence[int], blob: memoryview) -> bool:
        """See `Producer.append_known`."""


class BlobAppend:
    """Appends archetypes of one class, format and size."""

    __slots__ = ("_format", "_log_time", "_messages", "_names", "_producer", "_size", "_template")

    def __init__(
        self, producer: BlobProducer, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any
    ) -> None:
        """Append rows like that of `archetype`, on timelines `names`. The timeline `log_time` takes the call's time."""
        self._producer = producer
        self._template = template
        self._names = names
        self._log_time = log_time
        self._format = archetype._format
        self._size = len(archetype._buffer)
        self._messages: dict[str, KnownMessage | bytes] = {}
        """By the entity path as the user wrote it. If one slot holds the message: the canonical path instead."""

    def prepare(self, name: str, entity_path: bytes) -> None:
        """Compose the message for an entity and keep it. `name`: the path as the user wrote it."""
        template = self._template
        size = len(template.before) + template.times.size + len(template.between) + self._size + len(template.after)
        declaration = pack_shape(template.shape)
        head, frame = pack_rows_head(FrameKind.ROWS, 0, 1, 0, 0, entity_path, size)
        before, between = declaration + head[:ID_OFFSET], head[ID_OFFSET + ID_BYTES :] + template.before
        behind = template.between
        packed = struct.Struct(f"<{len(before)}s2Q{len(between)}s{len(self._names)}q{len(behind)}s")
        total = len(declaration) + frame
        slots = chain_slots(total, self._producer.slot_bytes)
        message = KnownMessage(slots, total, packed.pack, before, between, behind, template.after)
        if len(self._messages) >= MAX_ENTITIES:
            self._messages.clear()
        self._messages[name] = message if slots > 1 else entity_path

    def append(self, path: str, archetype: Any, point: dict[str, int]) -> bool:
        """Append a row; see `hot_appends.Append`.

        Raises
        ------
        RingFullError
            If the ring stayed full for as long as the policy waits.
        """
        view = archetype._buffer
        if archetype._format != self._format or len(view) != self._size:
            return False
        message = self._messages[path]
        log_time = self._log_time
        times = [point[name] if name != log_time else time.time_ns() for name in self._names]
        try:
            if isinstance(message, bytes):
                return self._append_frame(message, times, view)
            return self._producer.append_known(message, times, view)
        except (ForkedError, OSError, ValueError) as error:
            if not is_own(error) or (self._producer.is_intact and not self._producer.is_closed):
                raise
            return False
        except SessionEndedError:
            return False  # the slow path knows whether the process has another producer

    def _append_frame(self, entity_path: bytes, times: list[int], view: memoryview) -> bool:
        shape, before, packed, between, after = self._template
        head = before + packed.pack(*times) + between
        size = len(head) + len(view) + len(after)
        self._producer.append(Rows(shape, entity_path, (head, view, after), size, 1, FrameKind.ROWS))
        return True  # committed, or dropped and counted
