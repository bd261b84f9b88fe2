"""One footer for a file that several of rerun's writers have written, one after the other.

A *section* of a file is what one writer has written. The writer's footer has the places of the section's chunks, but
as if the file began with the section. `SectionFooters` keeps these footers on disk. At the end it makes one footer of
them, the one that a single writer would have made: the tables one after the other, with the places in the file.

Sections differ in their columns if they differ in their components or timelines. A chunk without a column has no row,
no time and no static data there. A footer also has the recording's schema and its hash. They are those of a section
that has all components, as long as there is one; else they are made here, with a hash that identifies the schema as
well as rerun's does. Readers do not calculate it again.

The memory at the end is that of the whole table, 142 bytes for each chunk of one component and one timeline, and then
of the compressed table. Everything else lies in files without a name. The format is that of rerun-sdk 0.32 to 0.41
(crates/store/re_log_encoding in rerun's sources). Belongs to one thread.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from rerun_mp.encoding.log_messages import (
    compressed_part,
    dataframe_content,
    fields_of,
    first_batch,
    length_delimited,
)
from rerun_mp.encoding.rrd_footers import end_file, footer_of, manifest, manifests_in
from rerun_mp.encoding.rrd_stores import moved
from rerun_mp.errors import CorruptionError

__all__ = ["SectionFooters"]

STATIC, EMPTY = b"rerun:is_static", b"rerun:is_semantically_empty"
"""Notes on a component of the whole recording: some chunk has static data of it; no chunk has a value of it."""
ALIGNMENT = 64


class _Place(NamedTuple):
    """Where the footer of a section lies, or one of its tables."""

    start: int
    stop: int
    shift: int
    """What the places in it lack to be those in the whole file."""


class _Manifests(NamedTuple):
    """The manifests of one store."""

    schemas: dict[bytes, bytes]
    """The recording's schema in the sections, by its hash."""
    tables: list[_Place]


class SectionFooters:
    """The footers of a file's sections.

    Parameters
    ----------
    directory
        Its disk holds the footers, in files without a name.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115 (closed by `close`)
        self._kept: list[_Place] = []

    def __bool__(self) -> bool:
        """Whether there is any section."""
        return bool(self._kept)

    def add(self, fd: int, shift: int) -> None:
        """Keep the footer at the end of the file `fd`. `shift`: what its places lack to be those in the whole file.

        Raises
        ------
        CorruptionError
            If the file has no valid footer.
        OSError
            If the footer cannot be kept.
        """
        footer = footer_of(fd)
        if footer is None:
            raise CorruptionError("rerun's writer has left no footer")
        start = self._file.seek(0, 2)
        if self._file.write(footer) < len(footer):
            raise OSError(f"no space is left in {self._directory} for a footer")
        self._kept.append(_Place(start, start + len(footer), shift))

    def write(self, target: int) -> None:
        """End the file `target` with one footer.

        Raises
        ------
        CorruptionError
            If the footers are others than those that this code knows.
        OSError
            If a file cannot be written.
        """
        import pyarrow as pa

        try:
            with tempfile.TemporaryFile(dir=self._directory, buffering=0) as tables:
                end_file(target, [piece for one in self._merged(tables) for piece in one])
        except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise CorruptionError(f"the footers of a file's sections cannot be put together: {error!r}") from error

    def close(self) -> None:
        """Free the disk."""
        self._file.close()

    def _merged(self, tables: Any) -> Iterator[list[Any]]:
        """Yield the manifest of each store in pieces."""
        stores: dict[bytes, _Manifests] = {}
        for kept in self._kept:
            self._file.seek(kept.start)
            for one in manifests_in(self._file.read(kept.stop - kept.start)):
                fields = dict(fields_of(one))
                store = stores.setdefault(fields[1], _Manifests({}, []))
                store.schemas.setdefault(fields[3], dict(fields_of(fields[2]))[1])
                store.tables.append(self._decompressed(tables, fields[4], kept.shift))
        for name, manifests in stores.items():
            digest, schema = _one_schema(manifests.schemas)
            head = length_delimited(1, name) + length_delimited(2, length_delimited(1, schema))
            yield manifest(head + length_delimited(3, digest), self._one_table(tables, manifests.tables))

    def _decompressed(self, tables: Any, part: bytes, shift: int) -> _Place:
        content = dataframe_content(part)
        start = -(-tables.seek(0, 2) // ALIGNMENT) * ALIGNMENT
        tables.seek(start)
        if tables.write(content) < len(content):
            raise OSError(f"no space is left in {self._directory} for a footer")
        return _Place(start, start + len(content), shift)

    def _one_table(self, tables: Any, places: Sequence[_Place]) -> list[Any]:
        """Return the tables, one after the other, as one part of a footer."""
        import pyarrow as pa

        with tempfile.TemporaryFile(dir=self._directory) as file:
            path = f"/proc/self/fd/{file.fileno()}"
            _write_stream(path, _whole(f"/proc/self/fd/{tables.fileno()}", places))
            with pa.memory_map(path) as stream:
                return compressed_part(stream.read_buffer())


def _write_stream(path: str, table: Any) -> None:
    import pyarrow as pa

    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_batch(table)


def _whole(path: str, places: Sequence[_Place]) -> Any:
    """Return the tables in the file at `path` as one, with the chunks' places in the whole file."""
    import pyarrow as pa

    tables = []
    with pa.memory_map(path) as source:
        for one in places:
            source.seek(one.start)
            tables.append(moved(first_batch(source.read_buffer(one.stop - one.start)), [(0, 0, one.shift)]))
    fields = _fields([table.schema for table in tables])
    columns = [pa.concat_arrays([_column(table, field) for table in tables]) for field in fields]
    return pa.record_batch(columns, pa.schema(fields))


def _fields(schemas: Sequence[Any]) -> list[Any]:
    """Return the fields of all tables, in the order of the one that has most."""
    found: dict[str, Any] = {}
    for schema in schemas:
        for field in schema:
            found.setdefault(field.name, field)
    return [found[name] for name in dict.fromkeys([*max(schemas, key=len).names, *found])]


def _column(table: Any, field: Any) -> Any:
    """Return the column of a table, or what a table without it has in its place."""
    import pyarrow as pa

    at = table.schema.get_field_index(field.name)
    if at >= 0:
        column = table.column(at)
        # A timeline whose type changes keeps the type that it had first.
        return column if column.type == field.type else column.view(pa.int64()).view(field.type)
    if pa.types.is_boolean(field.type) or pa.types.is_uint64(field.type):
        return pa.repeat(pa.scalar(0, pa.uint64()), table.num_rows).cast(field.type)
    return pa.nulls(table.num_rows, field.type)


def _one_schema(schemas: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """Return the hash and the Arrow stream of the whole recording's schema."""
    import pyarrow as pa

    if len(schemas) == 1:
        return next(iter(schemas.items()))
    merged: dict[str, Any] = {}
    found = {digest: pa.ipc.read_schema(pa.py_buffer(content)) for digest, content in schemas.items()}
    for schema in found.values():
        for field in schema:
            merged[field.name] = _noted(merged[field.name], field) if field.name in merged else field
    for digest, schema in found.items():
        if len(schema) == len(merged) and all(field.equals(merged[field.name], True) for field in schema):
            return digest, schemas[digest]
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, pa.schema(sorted(merged.values(), key=_name))).close()
    content: bytes = sink.getvalue().to_pybytes()
    return hashlib.sha256(content).digest(), content


def _noted(known: Any, other: Any) -> Any:
    """Return a component's field with the notes of two sections."""
    notes, others = dict(known.metadata or {}), other.metadata or {}
    if STATIC in others:
        notes[STATIC] = others[STATIC]
    if EMPTY not in others:
        notes.pop(EMPTY, None)
    return known.with_metadata(notes)


def _name(field: Any) -> str:
    return str(field.name)
