"""A file that several of rerun's writers have written is as one that a single writer has written."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.store import rerun_files, sections
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rerun_sinks import chunk_of, open_file
from rerun_mp.collector.store.sections import FileSections
from rerun_mp.encoding.log_messages import batch_of, dataframe_of, fields_of
from rerun_mp.encoding.rrd_files import count_chunks, is_complete
from rerun_mp.encoding.rrd_footers import footer_of, manifests_in
from rerun_mp.encoding.rrd_sections import SectionFooters
from rerun_mp.errors import ResourceError
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import FLUSH_SECS, chunks, file_spec, numbers_in, put
from tests.harness.programs import run_program
from tests.harness.recordings import RERUN_BINARY, verify
from tests.harness.rerun_names import RrdReader

TIMELINES = {"step": pa.int64(), "at": pa.timestamp("ns"), "for": pa.duration("ns")}
COMPONENTS = {
    "Scalars:scalars": pa.float64(),
    "Points3D:positions": pa.list_(pa.field("item", pa.float32(), nullable=False), 3),
    "TextLog:text": pa.string(),
}


class Kind(NamedTuple):
    """What a chunk has."""

    entity: str
    timelines: frozenset[str]
    """Static if there is none."""
    components: frozenset[str]
    is_empty: bool
    """Whether its components have no value."""


KINDS = st.builds(
    Kind,
    st.sampled_from(["/a", "/b/c", "/b/d"]),
    st.frozensets(st.sampled_from(sorted(TIMELINES))),
    st.frozensets(st.sampled_from(sorted(COMPONENTS)), min_size=1),
    st.booleans(),
)


class Index(NamedTuple):
    """What a file's footer has of its recording."""

    table: Any
    schema: dict[str, Any]
    digest: bytes


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Set the number of chunks in a section."""
    return lambda number: monkeypatch.setattr(sections, "MAX_CHUNKS", number)


def made(number: int, kind: Kind) -> ChunkBatch:
    """Return a chunk of two rows."""
    ids = [(1000 + number).to_bytes(8, "big") + row.to_bytes(8, "big") for row in range(2)]
    metadata = {"rerun:kind": "control", "ARROW:extension:name": "rerun.datatypes.TUID"}
    columns = [(pa.field("rerun.controls.RowId", pa.binary(16), False, metadata), pa.array(ids, pa.binary(16)))]
    for name in sorted(kind.timelines):
        array = pa.array([number, number + 5], pa.int64()).view(TIMELINES[name])
        columns.append((pa.field(name, array.type, metadata={"rerun:kind": "index", "rerun:index_name": name}), array))
    for name in sorted(kind.components):
        values: list[Any] = [[], []] if kind.is_empty else [None, [_value(name)]]
        array = pa.array(values, pa.list_(COMPONENTS[name]))
        notes = {"rerun:kind": "data", "rerun:component": name, "rerun:archetype": name.partition(":")[0]}
        columns.append((pa.field(name, array.type, metadata=notes), array))
    chunk_id = f"chunk_{number + 1:032x}"
    about = {"sorbet:version": "0.1.3", "rerun:entity_path": kind.entity, "rerun:id": chunk_id}
    batch = pa.record_batch([array for _, array in columns], pa.schema([field for field, _ in columns], about))
    return ChunkBatch(RECORDING, kind.entity, chunk_id, batch, batch.nbytes)


def _value(component: str) -> Any:
    return {"Scalars:scalars": 1.5, "TextLog:text": "text"}.get(component, [1.0, 2.0, 3.0])


def write(path: Path, some: Sequence[ChunkBatch]) -> Path:
    """Write a file, and flush after each chunk, where a section may end."""
    writer = open_file(path, RECORDING)
    for chunk in some:
        writer.send_all([chunk_of(chunk)])
        writer.flush(FLUSH_SECS)
    writer.close(FLUSH_SECS)
    return path


def index_of(path: Path) -> Index:
    """Return what the footer of a file with one recording has."""
    with open(path, "rb") as file:
        (manifest,) = manifests_in(footer_of(file.fileno()) or b"")
    fields = dict(fields_of(manifest))
    schema = pa.ipc.read_schema(pa.py_buffer(dict(fields_of(fields[2]))[1]))
    return Index(dataframe_of(fields[4]), {field.name: field for field in schema}, fields[3])


def ids_by_place(path: Path) -> Iterator[tuple[str, str]]:
    """Yield entity and id of each chunk that lies where the footer says."""
    content, table = path.read_bytes(), index_of(path).table
    for start, size in zip(table["chunk_byte_offset"].to_pylist(), table["chunk_byte_size"].to_pylist(), strict=True):
        batch = batch_of(content[start : start + size])
        yield batch.schema.metadata[b"rerun:entity_path"].decode(), batch.schema.metadata[b"rerun:id"].decode()


def sorted_columns(table: Any) -> Any:
    return table.select(sorted(table.schema.names))


@settings(deadline=None, max_examples=25)
@given(st.lists(KINDS, min_size=1, max_size=9), st.integers(1, 4))
def test_a_file_in_sections_has_the_index_that_one_writer_makes(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[Kind], number: int
) -> None:
    """Sections with other entities, timelines and components, static and empty ones."""
    directory = tmp_path_factory.mktemp("files")
    some = [made(n, kind) for n, kind in enumerate(kinds)]
    with pytest.MonkeyPatch.context() as patch:
        whole = write(directory / "whole.rrd", some)
        patch.setattr(sections, "MAX_CHUNKS", number)
        in_sections = write(directory / "sections.rrd", some)
    expected, found = index_of(whole), index_of(in_sections)
    assert sorted_columns(found.table).equals(sorted_columns(expected.table), check_metadata=True)
    assert found.schema.keys() == expected.schema.keys()
    for name, field in expected.schema.items():
        assert found.schema[name].equals(field, check_metadata=True), name
    assert list(ids_by_place(in_sections)) == [(chunk.entity_path, chunk.chunk_id) for chunk in some]
    verify(in_sections)
    assert [chunk.id for chunk in RrdReader(in_sections).stream()] == [chunk.id for chunk in RrdReader(whole).stream()]


def test_the_schema_and_its_hash_are_those_of_rerun_if_a_section_has_all_components(
    tmp_path: Path, limit: Callable[[int], None]
) -> None:
    """As in a program that logs its static data first."""
    plain = Kind("/a", frozenset({"step"}), frozenset({"Scalars:scalars"}), False)
    static = Kind("/a", frozenset(), frozenset({"TextLog:text"}), False)
    some = [made(n, kind) for n, kind in enumerate([plain, static, plain, plain, plain, plain])]
    whole = write(tmp_path / "whole.rrd", some)
    limit(2)
    in_sections = write(tmp_path / "sections.rrd", some)
    assert index_of(in_sections).digest == index_of(whole).digest
    assert index_of(in_sections).table.equals(index_of(whole).table, check_metadata=True)


def test_a_timeline_whose_type_changes_keeps_its_first_type(tmp_path: Path, limit: Callable[[int], None]) -> None:
    """As in a file of one writer: rerun reads both."""
    kind = Kind("/a", frozenset({"step"}), frozenset({"Scalars:scalars"}), False)
    other = made(1, kind)
    at = other.batch.schema.get_field_index("step")
    field = other.batch.schema.field(at).with_type(pa.duration("ns"))
    batch = other.batch.set_column(at, field, other.batch.column(at).view(field.type))
    some = [made(0, kind), ChunkBatch(RECORDING, "/a", other.chunk_id, batch, batch.nbytes), made(2, kind)]
    limit(1)
    path = write(tmp_path / "out.rrd", some)
    verify(path)
    assert index_of(path).table.schema.field("step:start").type == pa.int64()
    assert index_of(path).table["step:start"].to_pylist() == [0, 1, 2]


def test_the_file_has_whole_chunks_and_no_footer_while_sections_end(
    tmp_path: Path, limit: Callable[[int], None]
) -> None:
    path = tmp_path / "out.rrd"
    limit(2)
    writer = open_file(path, RECORDING)
    for number in range(7):
        writer.send(chunks([number])[0])
        writer.flush(FLUSH_SECS)
        assert count_chunks(path, writer.prelude) == number + 1
        assert not is_complete(path)
        assert os.listdir(tmp_path) == ["out.rrd"]
    writer.close(FLUSH_SECS)
    assert numbers_in(path) == list(range(7))


def test_a_file_that_has_its_sections_open_takes_one_more_descriptor(
    tmp_path: Path, limit: Callable[[int], None]
) -> None:
    """64 files may be open at once."""
    writers = [open_file(tmp_path / f"{number}.rrd", RECORDING) for number in range(4)]
    before = len(os.listdir("/proc/self/fd"))
    limit(1)
    for writer in writers:
        writer.send(chunks([1])[0])
        writer.flush(FLUSH_SECS)
    assert len(os.listdir("/proc/self/fd")) == before + len(writers)
    for writer in writers:
        writer.close(FLUSH_SECS)
    assert len(os.listdir("/proc/self/fd")) == before - len(writers)


def test_a_file_without_a_footer_has_no_sections(tmp_path: Path, limit: Callable[[int], None]) -> None:
    limit(1)
    writer = open_file(tmp_path / "out.rrd", RECORDING, write_footer=False)
    for chunk in chunks(range(3)):
        writer.send(chunk)
        writer.flush(FLUSH_SECS)
    assert writer.sections is None
    writer.close(FLUSH_SECS)
    assert not is_complete(tmp_path / "out.rrd")


def test_without_descriptors_or_space_a_section_goes_on(
    tmp_path: Path, limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: FileSections) -> None:
        raise OSError(24, "Too many open files")

    limit(1)
    monkeypatch.setattr(FileSections, "_nameless", refuse)
    path = write(tmp_path / "out.rrd", chunks(range(4)))
    verify(path)
    assert numbers_in(path) == list(range(4))


def test_a_footer_that_cannot_be_kept_leaves_the_rows_and_the_store_goes_on(
    spool: Path, tmp_path: Path, limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full. The rows of the section are in the file, and come again in a part of the spool."""
    limit(2)
    add, calls = SectionFooters.add, []

    def fail_once(self: SectionFooters, fd: int, shift: int) -> None:
        calls.append(shift)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        add(self, fd, shift)

    monkeypatch.setattr(SectionFooters, "add", fail_once)
    out = tmp_path / "out" / "run.rrd"
    out.parent.mkdir()
    store = RecordingStore(RECORDING, spool, NONCE)
    store.set_files([file_spec(out)])
    for number in range(9):
        put(store, [number])
    store.complete()
    verify(out)
    assert sorted(numbers_in(out)) == list(range(9))


@pytest.mark.filterwarnings("ignore:RRD file has no footer")
def test_a_footer_that_cannot_be_written_is_left_out_and_named(
    tmp_path: Path, limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: SectionFooters, target: int) -> None:
        os.lseek(target, 0, os.SEEK_END)
        os.write(target, b"half of it")
        raise OSError(28, "No space left on device")

    limit(2)
    monkeypatch.setattr(SectionFooters, "write", fail)
    path = tmp_path / "out.rrd"
    with pytest.raises(ResourceError, match=r"gets no footer: .*No space left"):
        write(path, chunks(range(5)))
    assert numbers_in(path) == list(range(5))
    assert not path.read_bytes().endswith(b"half of it")


STEPS = ("turn_away", "end_section", "begin_section", "turn_to_file", "write_footer")
LIFE = """
import os, signal, sys
from pathlib import Path
from rerun_mp.collector.store import sections
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import file_spec, put
step, calls, sections.MAX_CHUNKS, original = sys.argv[3], [], 3, getattr(sections.FileSections, sys.argv[3])
def killed(self, *args):
    calls.append(args)
    is_last = len(calls) == 2 or step == "write_footer"
    result = None if is_last and sys.argv[4] == "before" else original(self, *args)
    if is_last:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(sections.FileSections, step, killed)
store = RecordingStore(RECORDING, Path(sys.argv[1]), NONCE)
store.set_files([file_spec(Path(sys.argv[2]))])
for number in range(8):
    put(store, [number])
store.complete()
"""


@pytest.mark.filterwarnings("ignore:RRD file has no footer")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_collector_killed_at_any_step_of_a_change_leaves_every_row_once(
    spool: Path, tmp_path: Path, limit: Callable[[int], None], step: str, when: str
) -> None:
    """The next life gets what the last flush had not returned for, as the sweep that is repeated."""
    out = tmp_path / "out" / "run.rrd"
    out.parent.mkdir()
    done = run_program(LIFE, spool, out, step, when)
    assert done.returncode == -signal.SIGKILL, done.describe()
    stored = numbers_in(out)
    assert stored == list(range(8 if step == "write_footer" else 6))
    limit(3)
    store = RecordingStore(RECORDING, spool, NONCE)
    store.set_files([file_spec(out)])
    for number in range(stored[-1], 11):
        put(store, [number])
    store.complete()
    verify(out)
    assert numbers_in(out) == list(range(11))
    assert os.listdir(out.parent) == ["run.rrd"]


def test_a_copied_file_has_sections_too(
    tmp_path: Path, limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copying takes no more memory for the footer than recording."""
    monkeypatch.setattr(rerun_files, "MERGE_FLUSH_BYTES", 1)
    source = write(tmp_path / "source.rrd", chunks(range(9)))
    limit(2)
    ended: list[FileSections] = []
    turn_away = FileSections.turn_away

    def noted(self: FileSections) -> None:
        ended.append(self)
        turn_away(self)

    monkeypatch.setattr(FileSections, "turn_away", noted)
    writer = open_file(tmp_path / "copy.rrd", RECORDING)
    rerun_files.merge([rerun_files.read_file(source, prelude=writer.prelude)], writer)
    writer.close(FLUSH_SECS)
    assert len(ended) == 5
    verify(tmp_path / "copy.rrd")
    assert numbers_in(tmp_path / "copy.rrd") == list(range(9))


def test_rerun_s_commands_read_every_section(tmp_path: Path, limit: Callable[[int], None]) -> None:
    limit(2)
    path = write(tmp_path / "out.rrd", chunks(range(9)))
    for command in ("merge", "route"):
        copy = tmp_path / f"{command}.rrd"
        subprocess.run([RERUN_BINARY, "rrd", command, path, "-o", copy], check=True, capture_output=True, timeout=60)
        assert sorted(numbers_in(copy)) == list(range(9)), command
        verify(copy)
    assert np.array_equal(index_of(path).table["chunk_num_rows"], np.ones(9))
