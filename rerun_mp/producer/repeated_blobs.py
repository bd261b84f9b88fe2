"""The fast path for loops over images: it reuses the bytes of the row before, and copies only the new blob.

`log` finds the append of a `BlobAppend` in its lane, where it also finds the appends of tables. It takes archetypes of
one class, format and size, with the same timelines, and writes the same bytes as the slow path.

Calls with images are rare and find cold caches: every function and object on the way costs several microseconds. So the
append is one function, a closure like the appends of tables (`hot_appends`), and overwrites fields of a head that
`prepare` has made. For a message over several slots it does what `Oversize.append` does, in the same order: take slots,
turn all but the first into parts, write, commit, seal.

Belongs to one producer. Any thread may call it; the producer's mutex guards the shared state.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from rerun_mp.encoding.chains import EPOCH_MASK, chain_slots, pack_chain
from rerun_mp.encoding.frames import FrameKind, Rows, pack_rows_head, pack_shape
from rerun_mp.errors import SessionEndedError
from rerun_mp.shm.interruptions import is_own
from rerun_mp.shm.kernel import fence
from rerun_mp.shm.layout import LINE_WORDS, WORD, Header, Kind, Line, SlotState
from rerun_mp.shm.writer import ForkedError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from rerun_mp.encoding.encoder import BlobTemplate
    from rerun_mp.encoding.ids import RowIds
    from rerun_mp.producer.claims import Claims
    from rerun_mp.producer.full_ring import FullRing
    from rerun_mp.producer.hot_appends import Append
    from rerun_mp.producer.oversize import Oversize
    from rerun_mp.shm.interruptions import Mark
    from rerun_mp.shm.writer import SlotWriter

__all__ = ["BlobAppend", "BlobParts"]

ID_OFFSET = 16
"""Offset of the row id in a ROWS frame, behind header, shape and number of rows."""
EMPTY = memoryview(b"")
MAX_ENTITIES = 1024
"""Upper bound of entities whose messages are cached; the cache is cleared beyond it."""


class BlobParts(NamedTuple):
    """The parts of a producer that a `BlobAppend` uses."""

    writer: SlotWriter
    claims: Claims
    oversize: Oversize
    full_ring: FullRing
    row_ids: RowIds
    mutex: threading.RLock
    busy: Mark
    """Set while a call is in progress, under the mutex."""
    attend: Callable[[], None]
    """Called after a commit while the collector wants attention."""
    append: Callable[[Rows], bool]
    """`Producer.append`."""


class Piece(NamedTuple):
    """Consecutive bytes of a message that lie in one slot."""

    number: int
    """Place of the slot in the chain."""
    offset: int
    """Offset of the bytes in the slot."""
    source: int
    """0: the head of the message, 1: the blob, 2: the bytes behind the blob."""
    begin: int
    end: int
    """The bytes of the source."""


class KnownMessage(NamedTuple):
    """A message that is known but for its slots, row id, times and blob."""

    entity_path: bytes
    slots: int = 0
    """0: one slot holds the message, and the other fields are not set."""
    head: memoryview = EMPTY
    """The preamble of the chain, and the message up to the blob. Each append overwrites the parts, row id and times."""
    fields: memoryview = EMPTY
    """`head` as unsigned words: the number of parts, then each part."""
    signed_fields: memoryview = EMPTY
    """`head` as signed words."""
    id_field: int = 0
    """Index of the row id in `fields`."""
    first_time: int = 0
    """Index of the first time in `signed_fields`."""
    after: bytes = b""
    """The bytes behind the blob."""
    pieces: tuple[tuple[int, ...], ...] = ()
    """Each is a `Piece`."""


class BlobAppend:
    """Appends archetypes of one class, format and size."""

    __slots__ = ("_messages", "_size", "_slot_bytes", "_template", "append")

    append: Append
    """Append a row; see `hot_appends.Append`.

    Raises
    ------
    RingFullError
        If the ring stayed full for as long as the policy waits.
    """

    def __init__(
        self, parts: BlobParts, template: BlobTemplate, names: tuple[str, ...], log_time: str, archetype: Any
    ) -> None:
        """Append rows like that of `archetype`, on timelines `names`. The timeline `log_time` takes the call's time."""
        self._template = template
        self._size = len(archetype._buffer)
        self._slot_bytes = parts.writer.ring.geometry.slot_bytes
        self._messages: dict[str, tuple[Any, ...]] = {}
        """A `KnownMessage` by the entity path as the user wrote it. A plain tuple is unpacked faster."""
        self.append = _make_append(parts, template, names, log_time, archetype._format, self._size, self._messages)

    def prepare(self, name: str, entity_path: bytes) -> None:
        """Compose the message for an entity and keep it. `name`: the path as the user wrote it."""
        template = self._template
        size = len(template.before) + template.times.size + len(template.between) + self._size + len(template.after)
        declaration = pack_shape(template.shape)
        head, frame = pack_rows_head(FrameKind.ROWS, 0, 1, 0, 0, entity_path, size)
        total = len(declaration) + frame
        slots = chain_slots(total, self._slot_bytes)
        if len(self._messages) >= MAX_ENTITIES:
            self._messages.clear()
        if slots == 1:
            self._messages[name] = tuple(KnownMessage(entity_path))
            return
        preamble = pack_chain([(0, 0)] * (slots - 1), total)
        before = preamble + declaration + head + template.before
        whole = memoryview(bytearray(before + bytes(template.times.size) + template.between))
        words = whole[: len(whole) // WORD * WORD]
        message = KnownMessage(
            entity_path,
            slots,
            whole,
            words.cast("Q"),
            words.cast("q"),
            (len(preamble) + len(declaration) + ID_OFFSET) // WORD,
            len(before) // WORD,
            template.after,
            tuple(tuple(piece) for piece in _pieces((len(whole), self._size, len(template.after)), self._slot_bytes)),
        )
        self._messages[name] = tuple(message)


def _pieces(sizes: Sequence[int], slot_bytes: int) -> Iterator[Piece]:
    """Lay sources of these sizes one after the other into slots."""
    at = 0
    for source, size in enumerate(sizes):
        begin = 0
        while begin < size:
            number, offset = divmod(at, slot_bytes)
            end = min(size, begin + slot_bytes - offset)
            yield Piece(number, offset, source, begin, end)
            at += end - begin
            begin = end


def _make_append(  # noqa: PLR0915 (a further function costs the call 3 to 10 us)
    parts: BlobParts,
    template: BlobTemplate,
    names: tuple[str, ...],
    log_time: str,
    blob_format: Any,
    blob_bytes: int,
    messages: dict[str, tuple[Any, ...]],
) -> Append:
    """Return `BlobAppend.append`."""
    writer, claims, oversize, full_ring, row_ids, mutex, busy, attend, append_rows = parts
    ring, alive, armed, fences = writer.ring, writer.alive, writer.armed, writer.has_fences
    memory, words, states = writer.views
    seen, attention = ring.words, Header.ATTENTION
    first_byte, slot_bytes = ring.geometry.slot_offset(0), ring.geometry.slot_bytes
    counts, epochs, kinds, rows = (
        ring.geometry.line_word(0) + word for word in (Line.COUNT, Line.EPOCH, Line.KIND, Line.ROWS)
    )
    line_words, epoch_mask = LINE_WORDS, EPOCH_MASK
    sealed, part_kind = writer.owner | SlotState.SEALED, Kind.PART
    take_chain, give_back, minting = oversize.take_chain, oversize.give_back, row_ids.minting
    time_ns, is_finalizing = time.time_ns, sys.is_finalizing

    def append(path: str, archetype: Any, point: dict[str, int]) -> bool:  # noqa: PLR0912, PLR0915 (likewise)
        view = archetype._buffer
        if archetype._format != blob_format or len(view) != blob_bytes:
            return False
        entity_path, slots, head, fields, signed_fields, id_field, field, after, pieces = messages[path]
        try:
            if not slots:
                times = [point[name] if name != log_time else time_ns() for name in names]
                _append_frame(append_rows, template, entity_path, times, view)
                return True
            if is_finalizing() or not alive[armed]:
                return False
            with mutex:
                if full_ring.is_closed:
                    return False
                try:
                    del busy.free
                except AttributeError as error:
                    if not is_own(error):
                        raise
                    return False
                chain: list[int] = []
                try:
                    now = time_ns()
                    for name in names:
                        signed_fields[field] = point[name] if name != log_time else now
                        field += 1
                    spares = claims.spares
                    if len(spares) < slots:
                        chain = take_chain(slots)
                        if not chain:
                            return False
                    else:
                        # One step, without a call: an interrupted call finds each slot either here or there.
                        chain, claims.spares = spares[:slots], spares[slots:]
                    field = 1
                    for slot in chain[1:]:
                        at = slot * line_words
                        fields[field] = slot | (words[epochs + at] & epoch_mask) << 32
                        field += 1
                        at += kinds
                        if not alive[armed]:
                            raise ForkedError
                        words[at] = part_kind
                    del minting.free  # as `RowIds.mint`; a mark that an exception has left leads to the slow path
                    counter = row_ids.next
                    row_ids.next = counter + 1
                    if now > row_ids.last:
                        row_ids.last = now
                    else:
                        now = row_ids.last
                    minting.free = True
                    fields[id_field], fields[id_field + 1] = now, counter
                    sources = head, view, after
                    for number, offset, source, begin, end in pieces:
                        piece = sources[source][begin:end]
                        first = first_byte + chain[number] * slot_bytes + offset
                        last = first + end - begin
                        if not alive[armed]:
                            raise ForkedError
                        memory[first:last] = piece
                    slot = chain[0]
                    at = rows + slot * line_words
                    if not alive[armed]:
                        raise ForkedError
                    words[at] = 1
                    if fences:
                        fence()
                    at = counts + slot * line_words
                    if not alive[armed]:
                        raise ForkedError
                    words[at] = 1
                    if fences:
                        fence()
                    if alive[armed]:
                        states[slot] = sealed
                except BaseException:
                    claims.needs_repair = True
                    give_back(chain)
                    raise
                finally:
                    busy.free = True
            if seen[attention]:
                attend()
            return True
        except (ForkedError, OSError, ValueError) as error:
            if not is_own(error) or (writer.is_intact and not full_ring.is_closed):
                raise
            return False
        except SessionEndedError:
            return False  # the slow path knows whether the process has another producer

    row_ids.add_minter(append.__code__)
    return append


def _append_frame(
    append: Callable[[Rows], bool], template: BlobTemplate, entity_path: bytes, times: list[int], view: memoryview
) -> None:
    """Append a message that one slot holds. It is committed, or dropped and counted."""
    shape, before, packed, between, after = template
    head = before + packed.pack(*times) + between
    size = len(head) + len(view) + len(after)
    append(Rows(shape, entity_path, (head, view, after), size, 1, FrameKind.ROWS))
