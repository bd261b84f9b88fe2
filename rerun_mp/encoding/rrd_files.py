"""The framing of .rrd files, to read a file that is still being written or was cut off.

    ┌────────────────────┐ ┌─────────────┬──────────────┬──────────────┐
    │ RRF2, version, ... │ │ kind (u64)  │ length (u64) │ payload ...  │  and so on; little-endian
    │ 12 bytes           │ │ one message                               │
    └────────────────────┘ └─────────────┴──────────────┴──────────────┘

Rerun's readers raise on a file that ends inside a message, and read a file only from its beginning. A *window* is a
small complete file in memory: the prelude (everything before the first chunk: header, store infos, default blueprint)
and some whole messages from anywhere in the file. With windows, the flushed chunks of a growing file can be read from
any chunk on, in bounded memory.

The format is that of rerun-sdk 0.41 (crates/store/re_log_encoding in rerun's sources); a test reads real files. Uses
the standard library alone. Any thread may call this.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from rerun_mp.errors import CorruptionError

__all__ = [
    "Bookmarks",
    "Message",
    "MessageKind",
    "chunk_payloads",
    "copy_bytes",
    "count_chunks",
    "end_of_prelude",
    "is_complete",
    "messages_at",
    "messages_in",
    "messages_in_file",
    "messages_of",
    "payloads_at",
    "windows",
]

HEADER_SIZE = 12
MAGIC = b"RRF2"
MESSAGE = struct.Struct("<QQ")
TRAILER = b"RRF2FOOT"
"""The last 12 bytes of a complete file are these eight and four more."""

STRIDE = 64
"""Chunks between two bookmarks in a file."""
WINDOW_BYTES = 16 << 20
"""Maximum bytes of a window's chunks; a larger chunk gets a window of its own."""


class MessageKind(IntEnum):
    """The content of a message."""

    END = 0
    STORE_INFO = 1
    CHUNK = 2
    BLUEPRINT_ACTIVATION = 3


@dataclass(frozen=True, slots=True)
class Message:
    """A message of an open file, from its header to the end of its payload."""

    kind: int
    start: int
    stop: int


def is_complete(path: str | Path) -> bool:
    """Return whether the file at `path` ends with a footer."""
    try:
        with open(path, "rb") as file:
            file.seek(-12, os.SEEK_END)
            return file.read(12).startswith(TRAILER)
    except OSError:
        return False


def end_of_prelude(path: str | Path) -> int:
    """Return the end offset of the last whole message of a file that holds no chunk yet."""
    with open(path, "rb") as file:
        return max((message.stop for message in messages_at(file.fileno(), HEADER_SIZE)), default=HEADER_SIZE)


def count_chunks(path: str | Path, prelude: int) -> int:
    """Return the number of whole chunks after the prelude in the file at `path`."""
    with open(path, "rb") as file:
        return sum(1 for _ in _chunks(file.fileno(), prelude))


class Bookmarks:
    """Where chunks of a file begin that a reader has passed. Threads may share it."""

    __slots__ = ("_last", "_places")

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        """Number of a chunk -> its offset: 0, STRIDE, 2 * STRIDE ... without a gap."""
        self._last = (-1, 0)
        """Number and offset of the chunk after the last one that a reader has passed, where readers mostly go on."""

    def before(self, number: int, prelude: int) -> tuple[int, int]:
        """Return number and offset of the nearest known chunk up to chunk `number`; chunk 0 follows the prelude."""
        last = self._last
        nearest = max(0, min(number // STRIDE, len(self._places) - 1) * STRIDE)
        return last if nearest <= last[0] <= number else (nearest, self._places.get(nearest, prelude))

    def add(self, number: int, chunk: Message) -> None:
        """Add a chunk that a reader passes."""
        if number % STRIDE == 0:
            self._places[number] = chunk.start
        self._last = (number + 1, chunk.stop)


def chunk_payloads(
    fd: int, prelude: int, *, skip: int = 0, limit: int | None = None, bookmarks: Bookmarks | None = None
) -> Iterator[bytes]:
    """Yield the payload of each whole chunk after the prelude of the open file `fd`.

    Parameters
    ----------
    fd, prelude, skip, limit
        As for `windows`.
    bookmarks
        Those of this file. The call begins at one and adds more, so that a reader that follows a growing file does not
        walk over all of it each time.

    Raises
    ------
    CorruptionError
        If the file becomes shorter meanwhile.
    """
    bookmarks = Bookmarks() if bookmarks is None else bookmarks
    begin, offset = bookmarks.before(skip, prelude)
    stop = None if limit is None else skip + limit
    for number, message in enumerate(_chunks(fd, offset), begin):
        if stop is not None and number >= stop:
            return
        bookmarks.add(number, message)
        if number < skip:
            continue
        start = message.start + MESSAGE.size
        payload = os.pread(fd, message.stop - start, start)
        if len(payload) < message.stop - start:
            raise CorruptionError(f"the .rrd file became shorter than {message.stop} bytes while it was read")
        yield payload


def payloads_at(fd: int, prelude: int, numbers: Container[int]) -> Iterator[tuple[int, bytes]]:
    """Yield (number, payload) of the whole chunks with these numbers, counted from 0 after the prelude."""
    for number, message in enumerate(_chunks(fd, prelude)):
        if number in numbers:
            start = message.start + MESSAGE.size
            yield number, os.pread(fd, message.stop - start, start)


def messages_in_file(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each whole message of the .rrd file at `path`, without the END message.

    Raises
    ------
    CorruptionError
        If it is no .rrd file.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        fd = file.fileno()
        if os.pread(fd, len(MAGIC), 0) != MAGIC:
            raise CorruptionError(f"{path} is not an .rrd file of the version that rerun_mp reads")
        for message in messages_at(fd, HEADER_SIZE):
            if message.kind != MessageKind.END:
                start = message.start + MESSAGE.size
                yield message.kind, os.pread(fd, message.stop - start, start)


def messages_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and payload of each message of an .rrd stream."""
    at = HEADER_SIZE
    while at + MESSAGE.size <= len(content):
        kind, length = MESSAGE.unpack_from(content, at)
        if kind not in MessageKind.__members__.values() or kind == MessageKind.END:
            return
        at += MESSAGE.size + length
        yield kind, content[at - length : at]


def messages_in(content: bytes) -> int:
    """Return the number of messages in one or more consecutive .rrd streams, without the END messages.

    0 if no message is a chunk.
    """
    kinds, at = [], 0
    while at + MESSAGE.size <= len(content):
        if content.startswith(MAGIC, at):
            at += HEADER_SIZE
            continue
        kind, length = MESSAGE.unpack_from(content, at)
        kinds.append(kind)
        at += MESSAGE.size + length
    return len(kinds) - kinds.count(MessageKind.END) if MessageKind.CHUNK in kinds else 0


def windows(fd: int, prelude: int, *, skip: int = 0, limit: int | None = None, begin: int = 0) -> Iterator[int]:
    """Yield windows on the chunks of the open file `fd`, in order: leave out the first `skip`, end after `limit`.

    A window is the descriptor of an anonymous file. It is closed when the next window is requested. The prelude begins
    at `begin` if other recordings lie before it.

    Raises
    ------
    CorruptionError
        If the file does not begin with the magic bytes of an .rrd file, or becomes shorter meanwhile.
    """
    if os.pread(fd, len(MAGIC), 0) != MAGIC:
        raise CorruptionError(f"descriptor {fd} is not an .rrd file of the version that rerun_mp reads")
    start = stop = 0
    remaining = limit
    for message in _chunks(fd, prelude):
        if skip:
            skip -= 1
            continue
        if remaining == 0:
            break
        if stop > start and message.stop - start > WINDOW_BYTES:
            yield from _window(fd, (max(begin, HEADER_SIZE), prelude), (start, stop))
            start = stop = 0
        start = start or message.start
        stop = message.stop
        if remaining is not None:
            remaining -= 1
    if stop > start:
        yield from _window(fd, (max(begin, HEADER_SIZE), prelude), (start, stop))


def _chunks(fd: int, at: int) -> Iterator[Message]:
    """Yield the recording's whole chunks from offset `at` on, without the chunks of blueprints.

    A blueprint is a store of its own: a store info, its chunks, and an activation.
    """
    is_blueprint = False
    for message in messages_at(fd, at):
        if message.kind in (MessageKind.STORE_INFO, MessageKind.BLUEPRINT_ACTIVATION):
            is_blueprint = message.kind == MessageKind.STORE_INFO
        elif message.kind == MessageKind.CHUNK and not is_blueprint:
            yield message


def messages_at(fd: int, at: int) -> Iterator[Message]:
    """Yield the whole messages from offset `at` to the present end of the file."""
    size = os.fstat(fd).st_size
    while at + MESSAGE.size <= size:
        kind, length = MESSAGE.unpack(os.pread(fd, MESSAGE.size, at))
        stop = at + MESSAGE.size + length
        if stop > size or kind not in MessageKind.__members__.values():
            return  # cut off, or the trailer of a complete file
        yield Message(kind, at, stop)
        if kind == MessageKind.END:
            return
        at = stop


def copy_bytes(target: int, source: int, start: int, stop: int, name: str = "the .rrd file") -> None:
    """Append the bytes from `start` to `stop` of the open file `source` to the open file `target`, in the kernel.

    Raises
    ------
    CorruptionError
        If `source` becomes shorter meanwhile. The message names it `name`.
    """
    while start < stop:
        copied = os.sendfile(target, source, start, stop - start)
        if copied == 0:
            raise CorruptionError(f"{name} became shorter than {stop} bytes while it was read")
        start += copied


def _window(fd: int, *ranges: tuple[int, int]) -> Iterator[int]:
    window = os.memfd_create("rerun_mp-window", os.MFD_CLOEXEC)
    try:
        for begin, end in ((0, HEADER_SIZE), *ranges):
            copy_bytes(window, fd, begin, end)
        yield window
    finally:
        os.close(window)
