"""The behaviour of rerun-sdk's sinks that the collector relies on, tested with the installed version."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest
from rerun.blueprint import Blueprint, TimeSeriesView
from rerun.blueprint.api import create_in_memory_blueprint

from rerun_mp.collector.store.rerun_files import merge, read_file
from rerun_mp.collector.store.rerun_sinks import open_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import count_chunks
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import Blueprint as SentBlueprint
from tests.collector.made_frames import RECORDING, row_ids
from tests.collector.store.made_stores import chunks
from tests.harness.programs import wait_until
from tests.harness.recordings import verify
from tests.harness.rerun_names import RrdReader


def test_chunk_and_row_ids_survive_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    writer = open_file(path, RECORDING)
    sent = chunks(range(4), rows=3)
    for chunk in sent:
        writer.send(chunk)
    writer.close(10.0)
    verify(path)
    reader = RrdReader(path)
    (store,) = reader.recordings()
    assert (store.application_id, store.recording_id) == RECORDING
    read = [(chunk.id, row_ids(chunk.to_record_batch())) for chunk in reader.stream()]
    assert read == [(chunk.chunk_id, row_ids(chunk.batch)) for chunk in sent]


def test_merging_leaves_out_repeated_chunks_and_keeps_the_order(tmp_path: Path) -> None:
    sources = []
    for name, numbers in (("a", [3, 1]), ("b", [1, 2]), ("c", [3, 4])):
        writer = open_file(tmp_path / name, RECORDING)
        for chunk in chunks(numbers):
            writer.send(chunk)
        writer.close(10.0)
        sources.append(read_file(tmp_path / name, prelude=writer.prelude))
    target = tmp_path / "merged.rrd"
    writer = open_file(target, RECORDING)
    assert merge(sources, writer) == 2
    writer.close(10.0)
    verify(target)
    assert [chunk.id for chunk in RrdReader(target).stream()] == [c.chunk_id for c in chunks([3, 1, 2, 4])]


def test_a_chunk_that_is_sent_after_a_blueprint_lies_after_it(tmp_path: Path) -> None:
    """The chunks between a blueprint's store info and its activation count as the blueprint's.

    rerun-sdk takes chunks and a blueprint's messages from two queues, in any order.
    """
    views = [TimeSeriesView(origin=f"/view/{number}") for number in range(40)]
    made = create_in_memory_blueprint(application_id=RECORDING.application_id, blueprint=Blueprint(*views))
    data = base64.b64encode(made.storage.concat_as_bytes()).decode()
    path = tmp_path / "out.rrd"
    writer = open_file(path, RECORDING)
    for number in range(20):
        writer.send_blueprint(RECORDING, SentBlueprint(data, make_active=False, make_default=True))
        writer.send(chunks([number])[0])
        writer.flush(10.0)
    assert count_chunks(path, writer.prelude) == 20
    writer.close(10.0)


def test_files_of_one_recording_take_no_more_threads_than_one(tmp_path: Path) -> None:
    """Hazard 27: a rotating spool writes thousands of files, and rerun-sdk keeps two threads of every stream."""
    recording = RecordingKey("app", "many files")

    def write(number: int) -> None:
        writer = open_file(tmp_path / f"{number}.rrd", recording)
        writer.send(chunks([number])[0])
        writer.close(10.0)
        verify(tmp_path / f"{number}.rrd")

    write(0)
    threads = len(_threads())
    for number in range(1, 20):
        write(number)
    # Each file would add two. Those that end may be there for a moment.
    wait_until(lambda: len(_threads()) <= threads + 6, what="the end of the files' threads")
    for number in range(20):
        reader = RrdReader(tmp_path / f"{number}.rrd")
        assert [(store.application_id, store.recording_id) for store in reader.recordings()] == [recording]
        assert [chunk.id for chunk in reader.stream()] == [chunk.chunk_id for chunk in chunks([number])]


def test_the_threads_of_an_idle_stream_sleep(tmp_path: Path) -> None:
    """By default one of them wakes five times a second."""
    before = _threads()
    writer = open_file(tmp_path / "out.rrd", RecordingKey("app", "idle"))
    threads = _threads() - before
    assert threads
    # On a busy machine they are on their way to sleep for a while.
    wait_until(lambda: _wakes(threads, secs=0.7) <= 1, what="threads that sleep")
    writer.close(10.0)


def _threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def _wakes(threads: set[str], secs: float) -> int:
    """Return how often some threads wake within `secs`."""
    begin = _sleeps(threads)
    time.sleep(secs)
    return _sleeps(threads) - begin


def _sleeps(threads: set[str]) -> int:
    texts = [Path(f"/proc/self/task/{thread}/status").read_text() for thread in threads]
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in texts)


def test_a_file_that_cannot_be_created_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="nowhere"):
        open_file(tmp_path / "nowhere" / "out.rrd", RECORDING)
    with pytest.raises(ResourceError, match="/dev/full"):
        open_file("/dev/full", RECORDING)
