"""The recordings and blueprints in one .rrd file, and a file that is put together from those of several files.

Each message names its store. A complete file ends with one footer: a manifest of each store, which names the place of
each chunk, and a checksum. Two complete files, one after the other, are no file that rerun reads, because its readers
look for one footer at the end. So `compose` copies the messages as they are, and writes one footer from the manifests
of the sources, with the new places.

The format is that of rerun-sdk 0.41 (crates/store/re_log_encoding in rerun's sources); tests read such files with
rerun-sdk. Any thread may call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from rerun_mp.encoding.log_messages import (
    BLUEPRINT,
    compressed_part,
    dataframe_of,
    fields_of,
    length_delimited,
    stream_of,
)
from rerun_mp.encoding.rrd_files import (
    HEADER_SIZE,
    MAGIC,
    MESSAGE,
    Message,
    MessageKind,
    copy_bytes,
    messages_at,
)
from rerun_mp.encoding.rrd_footers import end_file, footer_of, manifest, manifests_in
from rerun_mp.errors import CorruptionError

__all__ = ["Store", "compose", "moved", "prelude_of_only_recording", "stores_in"]

HEAD_BYTES = 1024
"""Bytes of a chunk that are read to find its store. Longer ids need the whole chunk."""
PLACES = "chunk_byte_offset"
"""The manifest's column with the places of the chunks' payloads."""


class Store(NamedTuple):
    """A recording or a blueprint, as its messages name it."""

    is_blueprint: bool
    application_id: str
    recording_id: str

    def names(self, payload: bytes) -> bool:
        """Return whether a chunk's payload belongs to the store."""
        return _store(dict(fields_of(payload))[1]) == self


def stores_in(path: str) -> list[Store]:
    """Return the stores of the .rrd file at `path`, in the order of their first messages.

    Raises
    ------
    CorruptionError
        If it is no .rrd file, or damaged.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        return list(dict.fromkeys(store for _, store in _messages(file.fileno(), path)))


def prelude_of_only_recording(path: str) -> int | None:
    """Return the prelude's size of a file that holds one recording and begins with it; None for any other file.

    Raises as `stores_in`.
    """
    with open(path, "rb") as file:
        messages = list(_messages(file.fileno(), path))
    infos = [message for message, _ in messages if message.kind == MessageKind.STORE_INFO]
    leading = [message for message, _ in messages[: len(infos)]]  # rerun announces a recording twice
    is_lone = len({store for _, store in messages}) == 1 and infos and leading == infos
    return infos[-1].stop if is_lone and not messages[0][1].is_blueprint else None


def compose(
    sources: Iterable[tuple[str, Callable[[Store], bool]]],
    path: str,
    *,
    write_footer: bool,
    announces_once: bool = False,
) -> list[int]:
    """Write a file at `path` with the messages of some stores of other files, source after source.

    Returns where the messages of each source begin in the new file.

    Parameters
    ----------
    sources
        Paths, and which of a file's stores are copied. No store is copied from two files.
    path
        The file is created; it must not exist.
    announces_once
        Whether further announcements of a store that is announced are left out.
    write_footer
        Whether the file gets a footer. It gets none if a source with chunks has none: reading such a file takes longer.

    Raises
    ------
    CorruptionError
        If a source is no .rrd file, or damaged.
    OSError
        If a file cannot be read or written.
    """
    manifests: list[Any] | None = [] if write_footer else None
    begins: list[int] = []
    with open(path, "xb", buffering=0) as target:
        for number, (source, is_wanted) in enumerate(sources):
            with open(source, "rb") as file:
                if number == 0:
                    target.write(os.pread(file.fileno(), HEADER_SIZE, 0))
                begins.append(target.tell())
                moves, stores = _copy(file.fileno(), source, target.fileno(), is_wanted, announces_once)
                own = _moved_manifests(file.fileno(), moves, stores) if manifests is not None else None
                manifests = None if own is None or manifests is None else manifests + own
        end_file(target.fileno(), manifests or ())
    return begins


def _messages(fd: int, path: str) -> Iterator[tuple[Message, Store]]:
    """Yield the whole messages of an open file, without the END message, and the store of each."""
    if os.pread(fd, len(MAGIC), 0) != MAGIC:
        raise CorruptionError(f"{path} is not an .rrd file of the version that rerun_mp reads")
    known: dict[bytes, Store] = {}
    for message in messages_at(fd, HEADER_SIZE):
        if message.kind == MessageKind.END:
            return
        try:
            raw = _store_id(fd, message)
            if raw not in known:
                known[raw] = _store(raw)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptionError(f"{path} is damaged at byte {message.start}: {error!r}") from error
        yield message, known[raw]


def _store_id(fd: int, message: Message) -> bytes:
    """Return the bytes that name a message's store."""
    start, size = message.start + MESSAGE.size, message.stop - message.start - MESSAGE.size
    if message.kind == MessageKind.STORE_INFO:
        info = dict(fields_of(os.pread(fd, size, start)))[2]
        return bytes(dict(fields_of(info))[2])
    for wanted in (min(size, HEAD_BYTES), size):
        try:
            field, value = next(fields_of(os.pread(fd, wanted, start)))
        except (ValueError, StopIteration):
            continue
        if field == 1:
            return bytes(value)
    raise ValueError("the message names no store")


def _store(raw: bytes) -> Store:
    fields = dict(fields_of(raw))
    return Store(fields[1] == BLUEPRINT, bytes(dict(fields_of(fields[3]))[1]).decode(), bytes(fields[2]).decode())


def _copy(
    fd: int, path: str, target: int, is_wanted: Callable[[Store], bool], announces_once: bool
) -> tuple[list[tuple[int, int, int]], set[Store]]:
    """Copy messages. Return (start, stop, new start) of each run of messages, and the stores with chunks."""
    runs: list[list[int]] = []
    stores: set[Store] = set()
    announced: set[Store] = set()
    for message, store in _messages(fd, path):
        if not is_wanted(store) or (message.kind == MessageKind.STORE_INFO and store in announced):
            continue
        if message.kind == MessageKind.STORE_INFO and announces_once:
            announced.add(store)
        if message.kind == MessageKind.CHUNK:
            stores.add(store)
        if runs and runs[-1][1] == message.start:
            runs[-1][1] = message.stop
        else:
            runs.append([message.start, message.stop])
    moves = []
    for start, stop in runs:
        moves.append((start, stop, os.lseek(target, 0, os.SEEK_CUR)))
        copy_bytes(target, fd, start, stop, path)
    return moves, stores


def _moved_manifests(fd: int, moves: list[tuple[int, int, int]], stores: set[Store]) -> list[Any] | None:
    """Return, in pieces, the manifests of these stores with the chunks' new places. None: some store has none."""
    found: dict[Store, list[Any]] = {}
    for one in manifests_in(footer_of(fd) or b""):
        fields = dict(fields_of(one))
        store = _store(fields[1])
        if store in stores:
            head = b"".join(length_delimited(field, value) for field, value in fields_of(one) if field != 4)
            table = stream_of(moved(dataframe_of(fields[4]), moves))
            found[store] = manifest(head, compressed_part(table))
    return [piece for one in found.values() for piece in one] if found.keys() == stores else None


def moved(table: Any, moves: Sequence[tuple[int, int, int]]) -> Any:
    """Return a manifest's table with the new places of the chunks. `moves`: as (start, stop, new start) of each run."""
    import numpy as np
    import pyarrow as pa

    at = table.schema.get_field_index(PLACES)
    places = table.column(at).to_numpy(zero_copy_only=False).astype(np.int64)
    starts = np.array([start for start, _, _ in moves], np.int64)
    shifts = np.array([new - start for start, _, new in moves], np.int64)
    found = places + shifts[np.searchsorted(starts, places, side="right") - 1]
    return table.set_column(at, table.schema.field(at), pa.array(found).cast(table.schema.field(at).type))
