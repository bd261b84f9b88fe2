"""The static chunks that every part of a file that rotates begins with: a reader of one part needs them.

Static data has no time; the newest value of a component counts. The index names the chunks that hold a newest value,
the properties of the recording among them. A *carried file* in the spool has these chunks; a new part copies them.
Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rerun_mp.collector.drain.chunks import ROW_ID_FIELD, ChunkBatch
from rerun_mp.collector.store.parts import Part
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.log_messages import batch_of, store_info
from rerun_mp.encoding.rrd_files import HEADER_SIZE, MESSAGE, MessageKind, messages_in_file

__all__ = ["Statics", "restore_carried"]


class Statics:
    """Where the newest static values of a store's present file lie."""

    def __init__(self, recording: RecordingKey) -> None:
        self._recording = recording
        self._newest: dict[tuple[str, str], tuple[bytes, int]] = {}
        """(entity path, component) -> (row id, place of the chunk with this row). A place is an ordinal, or, for a
        chunk of the carried file, a number below 0."""

    def note(self, first: int, chunks: Sequence[ChunkBatch]) -> None:
        """Take chunks that have been flushed. `first` is the ordinal of the first one."""
        for place, chunk in enumerate(chunks, first):
            self._note(chunk.entity_path, chunk.batch, place)

    def read(self, carried: str | None, parts: Iterable[Part]) -> None:
        """Take the chunks of the present file anew: those of the carried file, then those of the parts."""
        self._newest.clear()
        for place, payload in _carried(carried):
            self._note_payload(payload, place)
        for part in parts:
            for ordinal, payload in part.read_messages():
                self._note_payload(payload, ordinal)

    def write(self, path: str, carried: str | None, parts: Iterable[Part]) -> dict[int, int] | None:
        """Write the carried file of the next part to `path`, and return the new place of each chunk in it.

        None: there are no static chunks, and no file.

        Parameters
        ----------
        path
            A file that lies there is replaced.
        carried
            The carried file of the present part.
        parts
            The parts of the present file.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        wanted = {place for _, place in self._newest.values()}
        sources = [part for part in parts if part.is_readable()]
        if not wanted or not sources:
            return None
        moved: dict[int, int] = {}

        def chosen() -> Iterator[bytes]:
            for place, payload in _chosen(wanted, carried, sources):
                if place not in moved:
                    moved[place] = -1 - len(moved)
                    yield payload

        _write_carried(path, self._recording, sources[0], chosen())
        return moved

    def move(self, moved: dict[int, int] | None) -> None:
        """Note that the next part has begun. `moved`: result of `write`."""
        places = moved or {}
        self._newest = {
            key: (row_id, places[place]) for key, (row_id, place) in self._newest.items() if place in places
        }

    def _note_payload(self, payload: bytes, place: int) -> None:
        batch = batch_of(payload)
        self._note(batch.schema.metadata[b"rerun:entity_path"].decode(), batch, place)

    def _note(self, entity_path: str, batch: Any, place: int) -> None:
        kinds = [(field.metadata or {}).get(b"rerun:kind") for field in batch.schema]
        if b"index" in kinds:
            return
        ids = batch.column(batch.schema.get_field_index(ROW_ID_FIELD.name)).to_pylist()
        for number, kind in enumerate(kinds):
            valid = batch.column(number).is_valid().to_pylist()
            if kind == b"control" or not any(valid):
                continue
            newest = max(row_id for row_id, is_valid in zip(ids, valid, strict=True) if is_valid)
            key = entity_path, batch.schema.field(number).name
            if key not in self._newest or self._newest[key][0] <= newest:
                self._newest[key] = newest, place


def restore_carried(path: str, recording: RecordingKey, parts: Iterable[Part]) -> None:
    """Write a carried file anew if somebody has removed it: one of `parts`, the present file's, begins with its chunks.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    if not os.path.exists(path):
        source = next((part for part in parts if part.carried and part.is_readable()), None)
        if source is not None:
            _write_carried(path, recording, source, source.read_carried())


def _write_carried(path: str, recording: RecordingKey, example: Part, payloads: Iterable[bytes]) -> None:
    """Write a file of these chunks to `path`. `example`: a part, whose file begins as that one does."""
    with open(f"{path}.new", "wb") as file:
        with open(example.path, "rb") as source:
            file.write(source.read(HEADER_SIZE))
        info = store_info(recording, bytes(16))
        file.write(MESSAGE.pack(MessageKind.STORE_INFO, len(info)) + info)
        file.writelines(MESSAGE.pack(MessageKind.CHUNK, len(payload)) + payload for payload in payloads)
    os.replace(f"{path}.new", path)


def _carried(path: str | None) -> Iterator[tuple[int, bytes]]:
    """Yield the chunks of a carried file, as (place, payload). None: there are none, or somebody has removed it."""
    if path is None or not os.path.exists(path):
        return iter(())
    chunks = (one for kind, one in messages_in_file(path) if kind == MessageKind.CHUNK)
    return ((-1 - number, payload) for number, payload in enumerate(chunks))


def _chosen(wanted: set[int], carried: str | None, parts: Iterable[Part]) -> Iterator[tuple[int, bytes]]:
    yield from (one for one in _carried(carried) if one[0] in wanted)
    for part in parts:
        yield from part.read_messages_at({place for place in wanted if place >= part.first})
