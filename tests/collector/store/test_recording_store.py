"""Rows that were flushed are in the file, each once, whatever became of collectors, disks and other programs."""

from __future__ import annotations

import base64
import dataclasses
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rerun.blueprint import Blueprint, TimeSeriesView
from rerun.blueprint.api import create_in_memory_blueprint
from rerun.chunk import RrdReader

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.drain.frame_chunks import TakenFrames, build_chunks
from rerun_mp.collector.store import recording_store as store
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.directories import claim_file
from tests.collector.endings import finish
from tests.collector.made_frames import RECORDING, scalars_frame
from tests.harness.programs import ROOT
from tests.harness.recordings import chunks_of, rows_of, verify

NONCE = b"0123456789abcdef"
FLUSH_SECS = 20.0


def chunks(numbers: Sequence[int], *, rows: int = 1) -> list[ChunkBatch]:
    """Return one chunk a number n, with `rows` rows whose ids are (1000 + n, 0), (1000 + n, 1) ..."""
    return [
        chunk
        for n in numbers
        for chunk in build_chunks(
            [TakenFrames(0, 0, n, n + 1, [scalars_frame([float(n)] * rows, row_id=(1000 + n, 0))])], nonce=NONCE
        ).chunks
    ]


def numbers_in(path: Path) -> list[int]:
    """Return n of every row of the file, in its order."""
    return [int.from_bytes(row.row_id[:8], "big") - 1000 for row in rows_of(path)]


def numbers_read(store: RecordingStore, since: int = 0) -> list[int]:
    """Return n of every chunk that the store gives to its readers."""
    batches: list[Any] = [
        chunk.batch if isinstance(chunk, ChunkBatch) else chunk.to_record_batch() for _, chunk in store.read(since)
    ]
    return [int(batch.column("step")[0].as_py()) for batch in batches]


def file_spec(path: Path, **settings: object) -> SinkSpec:
    return SinkSpec("file", str(path), **settings)  # type: ignore[arg-type]


def put(store: RecordingStore, numbers: Sequence[int], *, rows: int = 1) -> None:
    store.append(chunks(numbers, rows=rows))
    store.flush(FLUSH_SECS)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory / "out.rrd"


def nothing_left(spool: Path, out: Path) -> bool:
    return not list(spool.iterdir()) and os.listdir(out.parent) == [out.name]


def test_a_file_written_in_one_life_is_complete_and_was_not_copied(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    inode = out.stat().st_ino
    put(one, range(5))
    put(one, range(5, 9))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(9))
    assert out.stat().st_ino == inode
    assert nothing_left(spool, out)


def test_what_was_flushed_can_be_read_while_the_file_is_written(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, range(5))
    one.append(chunks([5]))
    assert numbers_read(one) == [0, 1, 2, 3, 4]
    assert numbers_read(one, since=3) == [3, 4]
    assert one.end == 5
    finish(one)


def test_rows_that_came_before_the_first_file_are_in_it(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(3))
    one.set_files([file_spec(out)])
    assert numbers_read(one) == [0, 1, 2]
    put(one, [3])
    finish(one)
    verify(out)
    assert numbers_in(out) == [0, 1, 2, 3]
    assert nothing_left(spool, out)


def test_rows_that_a_live_sink_got_are_not_in_a_later_file_but_can_still_be_read(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [0, 1])
    one.attach_live()
    put(one, [2])
    one.set_files([file_spec(out)])
    put(one, [3])
    assert numbers_read(one) == [0, 1, 2, 3]
    finish(one)
    assert numbers_in(out) == [3]


def test_after_the_file_is_closed_rows_go_to_the_next(spool: Path, out: Path) -> None:
    second = out.with_name("second.rrd")
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [0])
    one.set_files([])
    verify(out)
    put(one, [1])
    one.set_files([file_spec(second)])
    put(one, [2])
    assert numbers_read(one) == [0, 1, 2]
    finish(one)
    verify(second)
    assert (numbers_in(out), numbers_in(second)) == ([0], [1, 2])


def test_further_files_are_copies(spool: Path, out: Path) -> None:
    second = out.with_name("second.rrd")
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out), file_spec(second)])
    put(one, [0, 1])
    finish(one)
    verify(second)
    assert second.read_bytes() == out.read_bytes()


def test_the_default_blueprint_is_in_the_file(spool: Path, out: Path) -> None:
    blueprint = create_in_memory_blueprint(
        application_id=RECORDING.application_id, blueprint=Blueprint(TimeSeriesView(origin="/"))
    )
    text = base64.b64encode(blueprint.storage.concat_as_bytes()).decode()
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out, blueprint=text)])
    put(one, [0, 1, 2])
    assert numbers_read(one, since=1) == [1, 2]
    finish(one)
    verify(out)
    assert len(RrdReader(out).blueprints()) == 1
    assert numbers_in(out) == [0, 1, 2]


LIFE = """
import os, signal, sys
from pathlib import Path
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.made_frames import RECORDING
from tests.collector.store.test_recording_store import NONCE, chunks, file_spec, put
spool, out, numbers, target = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
store = RecordingStore(RECORDING, spool, NONCE)
if target == "file":
    store.set_files([file_spec(out)])
put(store, [int(n) for n in numbers.split(",")])
store.append(chunks([99]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def live_and_be_killed(spool: Path, out: Path, numbers: Sequence[int], target: str = "file") -> None:
    """Be a collector that flushes these, appends number 99 and is killed before that is flushed."""
    arguments = [str(spool), str(out), ",".join(map(str, numbers)), target]
    done = subprocess.run([sys.executable, "-c", LIFE, *arguments], cwd=ROOT, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def test_killed_collectors_cost_no_flushed_row_and_repeat_none(spool: Path, out: Path) -> None:
    live_and_be_killed(spool, out, [0, 1, 2])
    live_and_be_killed(spool, out, [2, 3])
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [3, 99, 4])
    assert numbers_read(one)[:3] == [0, 1, 2]
    finish(one)
    verify(out)
    assert sorted(numbers_in(out)) == [0, 1, 2, 3, 4, 99]
    assert nothing_left(spool, out)


def test_a_reader_misses_nothing_when_parts_become_one(spool: Path, out: Path) -> None:
    """Wherever it was, and although what two parts have in common is left out of the whole file.

    Of a chunk that had not been flushed when a collector was killed, the file may have got something or not.
    """
    live_and_be_killed(spool, out, [0, 1, 2])
    live_and_be_killed(spool, out, [2, 3])
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [3, 99, 4])
    everything = numbers_read(one)
    readings = [one.read() for _ in range(one.end)]
    seen = [[next(reading) for _ in range(n)] for n, reading in enumerate(readings)]
    one.complete()
    for since in range(one.end + 1):
        assert {*everything[:since], *numbers_read(one, since)} == {*everything}
    for reading, entries in zip(readings, seen, strict=True):
        entries.extend(reading)
        chunk_ids = {chunk.id if hasattr(chunk, "id") else chunk.chunk_id for _, chunk in entries}
        assert len(chunk_ids) == len({*everything})
    finish(one)


def test_a_file_whose_collector_was_killed_is_completed_by_the_next(spool: Path, out: Path) -> None:
    live_and_be_killed(spool, out, [0, 1])
    finish(RecordingStore(RECORDING, spool, NONCE))
    verify(out)
    assert numbers_in(out)[:2] == [0, 1]
    assert nothing_left(spool, out)


def test_rows_spooled_by_a_killed_collector_are_in_the_first_file(spool: Path, out: Path) -> None:
    live_and_be_killed(spool, out, [0, 1], target="none")
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [99, 2])
    one.set_files([file_spec(out)])
    finish(one)
    verify(out)
    assert sorted(numbers_in(out)) == [0, 1, 2, 99]


def test_a_file_cut_inside_a_message_loses_only_that(spool: Path, out: Path) -> None:
    live_and_be_killed(spool, out, range(10))
    os.truncate(out, out.stat().st_size - 7)
    finish(RecordingStore(RECORDING, spool, NONCE))
    verify(out)
    assert set(range(9)) <= set(numbers_in(out)) <= {*range(10), 99}


def claimed(path: Path, session: str) -> SinkSpec:
    """Return what a program is told to write that asks for the path now."""
    return file_spec(path, claim=claim_file(str(path), session))


def test_the_program_that_asked_last_has_the_path_whoever_begins_first(tmp_path: Path, out: Path) -> None:
    """Hazard 14: a collector that takes long to begin does not take the path from a later run of the program."""
    earlier, later = claimed(out, "11111111"), claimed(out, "22222222")
    two = RecordingStore(RECORDING, tmp_path / "two", b"2" * 16)
    two.set_files([later])
    put(two, range(5))
    one = RecordingStore(RECORDING, tmp_path / "one", b"1" * 16)
    one.set_files([earlier])
    put(one, range(100, 103))
    finish(two)
    verify(out)
    assert numbers_in(out) == list(range(5))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(5))
    assert os.listdir(out.parent) == [out.name]


def test_the_program_that_asked_last_has_the_path_though_the_other_began_first(tmp_path: Path, out: Path) -> None:
    """Hazard 14: nor does the earlier run get it back."""
    one = RecordingStore(RECORDING, tmp_path / "one", b"1" * 16)
    one.set_files([claimed(out, "11111111")])
    put(one, range(100, 103))
    later = claimed(out, "22222222")
    put(one, range(103, 105))
    finish(one)
    assert out.stat().st_size == 0
    two = RecordingStore(RECORDING, tmp_path / "two", b"2" * 16)
    two.set_files([later])
    put(two, range(5))
    finish(two)
    verify(out)
    assert numbers_in(out) == list(range(5))
    assert os.listdir(out.parent) == [out.name]


def test_a_claim_keeps_the_mode_of_what_was_there(out: Path) -> None:
    """As opening the file for writing would."""
    out.write_text("old")
    out.chmod(0o640)
    claim_file(str(out), "11111111")
    assert (out.read_text(), stat.S_IMODE(out.stat().st_mode)) == ("", 0o640)


class KilledError(Exception):
    """Stands for the end of the process at one point."""


@pytest.mark.parametrize("nth", range(7))
def test_a_collector_killed_at_any_step_of_completing_leaves_all_for_the_next(
    spool: Path, out: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two changes of names on the disk."""
    live_and_be_killed(spool, out, [0, 1])
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [1, 2])
    replace, steps = os.replace, iter(range(100))

    def replace_or_die(source: str | Path, target: str | Path) -> None:
        if next(steps) == nth:
            raise KilledError
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_or_die)
    try:
        finish(one)
        died = False
    except KilledError:
        died = True
    monkeypatch.undo()
    if died:
        finish(RecordingStore(RECORDING, spool, NONCE))
    verify(out)
    assert set(numbers_in(out)) - {99} == {0, 1, 2}
    assert nothing_left(spool, out)


LARGE_LIFE = """
import os, resource, signal, sys
from pathlib import Path
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import RECORDING
from tests.collector.test_live import blob
from tests.collector.store.test_recording_store import NONCE, file_spec
store = RecordingStore(RECORDING, Path(sys.argv[1]), NONCE)
if sys.argv[3] == "be killed":
    store.set_files([file_spec(Path(sys.argv[2]))])
    for number in range(300):
        store.append([blob(number)])
        store.flush(30.0)
    os.kill(os.getpid(), signal.SIGKILL)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
finish(store)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_completing_a_large_file_takes_little_memory(spool: Path, out: Path) -> None:
    """Hazard 30: `rerun rrd merge` takes more than the file has. A file of 300 MB is copied as a stream."""
    command = [sys.executable, "-c", LARGE_LIFE, str(spool), str(out)]
    killed = subprocess.run([*command, "be killed"], cwd=ROOT, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    done = subprocess.run([*command, "finish"], cwd=ROOT, check=True, timeout=60, capture_output=True, text=True)
    assert out.stat().st_size > 300_000_000
    assert int(done.stdout) < 150, f"it took {done.stdout.strip()} MiB"
    assert nothing_left(spool, out)


def test_of_two_runs_with_one_path_the_later_has_it_and_neither_is_mixed(tmp_path: Path, out: Path) -> None:
    first = RecordingStore(RECORDING, tmp_path / "first", NONCE)
    first.set_files([file_spec(out)])
    put(first, [0, 1])
    later = RecordingStore(RECORDING, tmp_path / "later", b"another segment.")
    later.set_files([file_spec(out)])
    # If they wrote into one file, the first would write over what the later has written.
    put(later, range(100, 160))
    put(first, [2, 3])
    finish(first)
    put(later, [160])
    finish(later)
    verify(out)
    assert numbers_in(out) == list(range(100, 161))
    assert os.listdir(out.parent) == [out.name]


def test_a_later_run_keeps_the_path_when_the_earlier_must_merge(tmp_path: Path, out: Path) -> None:
    live_and_be_killed(tmp_path / "first", out, [0])
    later = RecordingStore(RECORDING, tmp_path / "later", b"another segment.")
    later.set_files([file_spec(out)])
    put(later, [10])
    first = RecordingStore(RECORDING, tmp_path / "first", NONCE)
    put(first, [1])
    finish(first)
    finish(later)
    verify(out)
    assert numbers_in(out) == [10]
    assert os.listdir(out.parent) == [out.name]


def test_a_file_that_was_there_is_replaced_whole_and_keeps_its_mode(spool: Path, out: Path) -> None:
    out.write_text("something else")
    out.chmod(0o640)
    before = out.open()
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [0])
    finish(one)
    with before:
        assert before.read() == "something else"
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    assert numbers_in(out) == [0]


def test_a_file_that_the_user_moves_away_is_completed_where_it_is(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [0])
    kept = out.rename(out.with_name("kept.rrd"))
    put(one, [1])
    finish(one)
    verify(kept)
    assert numbers_in(kept) == [0, 1]
    assert not out.exists()


@contextmanager
def files_limited_to(num_bytes: int) -> Iterator[None]:
    """Let writing beyond a size fail, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_fails_costs_no_row(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(store, "STALLED_SECS", 0.5)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    with files_limited_to(40_000):
        put(one, range(10))
        assert one.status()["writing_to"] == "file"
        for n in range(10, 60, 10):
            put(one, range(n, n + 10))
        assert one.status()["writing_to"] == "diverted"
        put(one, [60])
    failure = one.status()["failure"]
    assert out.name in failure
    assert numbers_read(one) == list(range(61))
    finish(one)
    verify(out)
    assert numbers_in(out) == list(range(61))
    assert nothing_left(spool, out)
    assert failure in capfd.readouterr().err


def test_a_disk_nearly_full_is_left_alone_and_the_rows_wait_in_the_spool(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [0])
    roomy = store._has_room
    monkeypatch.setattr(store, "_has_room", lambda path, size: str(spool) in path and roomy(path, size))
    put(one, [1])
    assert one.status()["writing_to"] == "diverted"
    with pytest.raises(ResourceError, match="no space is left to complete"):
        finish(one)
    assert "its rows stay in" in one.status()["failure"]
    monkeypatch.undo()
    finish(one)
    verify(out)
    assert numbers_in(out) == [0, 1]
    assert nothing_left(spool, out)
    assert "no space is left" in capfd.readouterr().err


def test_a_directory_that_is_not_there_costs_no_row(spool: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = out.parent / "later" / "out.rrd"
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [0])
    one.set_files([file_spec(target)])
    put(one, [1])
    target.parent.mkdir()
    finish(one)
    verify(target)
    assert numbers_in(target) == [0, 1]
    assert "no part can be written" in capfd.readouterr().err


def test_the_spool_is_bounded_drops_its_oldest_and_counts(spool: Path, out: Path) -> None:
    bound, total, rows = 8 << 20, 25, 60_000
    one = RecordingStore(RECORDING, spool, NONCE, max_bytes=bound)
    for n in range(total):
        put(one, [n], rows=rows)
        assert one.status()["spool_bytes"] <= bound * 9 // 8 + (2 << 20)
    dropped = one.status()["dropped_rows"]
    assert 0 < dropped < total * rows
    one.set_files([file_spec(out)])
    finish(one)
    kept = list(chunks_of(out))
    assert sum(map(len, kept)) + dropped == total * rows
    assert [int.from_bytes(chunk.row_ids[0][:8], "big") - 1000 for chunk in kept] == list(range(dropped // rows, total))


def test_devices_and_pipes_are_written_directly(spool: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    while True:  # ends when the reader has opened the pipe
        try:
            os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        break
    reader.join(5)
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    received.clear()
    reader.start()
    one = RecordingStore(RECORDING, spool, NONCE)
    while not one.status()["file"] or one.status()["writing_to"] != "file":  # until the reader is there
        one.set_files([])
        one.set_files([file_spec(pipe)])
    put(one, [0, 1])
    finish(one)
    reader.join(5)
    assert pipe.is_fifo()
    copy = tmp_path / "copy.rrd"
    copy.write_bytes(received[0])
    verify(copy)
    assert numbers_in(copy) == [0, 1]


def test_a_pipe_without_a_reader_holds_nobody_up(
    spool: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(pipe)])
    put(one, [0])
    assert one.status()["writing_to"] == "diverted"
    finish(one)
    assert "no part can be written" in capfd.readouterr().err


def test_the_null_device_stays_what_it_is(spool: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(Path(os.devnull))])
    put(one, [0])
    again = RecordingStore(RECORDING, spool, NONCE)
    put(again, [1])
    finish(again)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_recent_chunks_are_read_from_memory_and_older_ones_from_the_parts(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RECENT_BYTES", sum(chunk.num_bytes for chunk in chunks(range(4))))
    one = RecordingStore(RECORDING, spool, NONCE)
    one.attach_live()
    put(one, range(10))
    assert [isinstance(chunk, ChunkBatch) for _, chunk in one.read(6)] == [True] * 4
    assert numbers_read(one, 6) == [6, 7, 8, 9]
    assert [isinstance(chunk, ChunkBatch) for _, chunk in one.read(5)] == [False] * 5
    assert numbers_read(one, 5) == [5, 6, 7, 8, 9]
    finish(one)


def test_chunks_that_rerun_refuses_are_counted(spool: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    (good, bad) = chunks([0, 1], rows=3)
    broken = bad.batch.replace_schema_metadata({"sorbet:version": "nonsense", "rerun:id": "none"})
    one.append([dataclasses.replace(bad, batch=broken), good])
    one.flush(FLUSH_SECS)
    assert one.status()["rejected_rows"] == 3
    finish(one)
    assert numbers_in(out) == [0, 0, 0]
    assert "refuses" in capfd.readouterr().err
