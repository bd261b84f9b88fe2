"""A live sink that waits gets a row before the store has flushed it, and counts it as acknowledged only after that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.collector.drain.chunks import ChunkBatch
from rerun_mp.collector.live import LiveSink
from rerun_mp.collector.store.appending import MAX_AHEAD_BYTES, MAX_AHEAD_CHUNKS
from rerun_mp.collector.store.part_writer import FLUSH_SECS
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rules import Rule, values_of
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import chunks, file_spec
from tests.collector.test_live import has, is_up_to_date
from tests.harness.programs import wait_until
from tests.harness.servers import Server
from tests.harness.viewers import free_port


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "saved.rrd", free_port())
    try:
        yield one
    finally:
        one.end()


@pytest.fixture
def spec(server: Server) -> SinkSpec:
    return SinkSpec("grpc", f"rerun+http://127.0.0.1:{server.port}/proxy")


@pytest.fixture
def one(tmp_path: Path) -> RecordingStore:
    return RecordingStore(RECORDING, tmp_path / "spool", NONCE)


def idle_sink(spec: SinkSpec, store: RecordingStore) -> LiveSink:
    """Return a sink that waits for rows, after a first one."""
    store.append(chunks([0]))
    store.flush(FLUSH_SECS)
    sink = LiveSink(spec, store)
    wait_until(lambda: is_up_to_date(sink) and sink._ahead._calls is not None, what="a sink that waits")
    return sink


def shown(store: RecordingStore, sink: LiveSink, some: list[ChunkBatch]) -> bool:
    """Append chunks, and return whether the sink has sent them ahead."""
    wait_until(lambda: sink._ahead._calls is not None, what="a sink that waits")
    assert not store.append(some, sink.send_ahead)
    return sink._ahead._calls is None or bool(sink._ahead._sent)


def flush(store: RecordingStore, sink: LiveSink) -> None:
    store.flush(FLUSH_SECS)
    sink.wake()


def test_a_row_arrives_before_it_is_flushed_and_is_acknowledged_after(
    one: RecordingStore, spec: SinkSpec, server: Server
) -> None:
    sink = idle_sink(spec, one)
    one.append(chunks([1]), sink.send_ahead)
    wait_until(lambda: has(server, {0, 1}))
    wait_until(lambda: bool(sink._ahead.answered))
    assert sink.report().acknowledged_rows == 1, "no flush has stored it"
    flush(one, sink)
    wait_until(lambda: sink.report().acknowledged_rows == 2)
    assert is_up_to_date(sink)
    assert sink.close(60.0)
    assert sink.outcome().missing_rows == 0
    finish(one)


def test_a_row_that_was_sent_ahead_is_not_sent_again(
    one: RecordingStore, spec: SinkSpec, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = idle_sink(spec, one)
    sent: list[bytes] = []
    calls = sink._ahead._calls
    assert calls is not None
    send = calls.send

    def noted(payload: bytes) -> None:
        sent.append(payload)
        send(payload)

    monkeypatch.setattr(calls, "send", noted)
    for number in range(1, 6):
        one.append(chunks([number]), sink.send_ahead)
        flush(one, sink)
        wait_until(lambda: is_up_to_date(sink) and sink._ahead._calls is not None)
    assert len(sent) == 5
    assert sink.report().acknowledged_rows == 6
    assert sink.close(60.0)
    wait_until(lambda: has(server, set(range(6))))
    finish(one)


def test_a_row_that_no_disk_takes_is_not_acknowledged_and_those_after_it_arrive(
    one: RecordingStore, spec: SinkSpec, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next row gets the ordinal that the lost one would have had."""

    def fails(timeout_secs: float) -> None:
        raise ResourceError("no disk takes it")

    sink = idle_sink(spec, one)
    with monkeypatch.context() as patch:
        patch.setattr(one._writing, "flush", fails)
        one.append(chunks([1]), sink.send_ahead)
        wait_until(lambda: bool(sink._ahead.answered))
        flush(one, sink)
    one.append(chunks([2]))
    flush(one, sink)
    wait_until(lambda: has(server, {0, 1, 2}))
    wait_until(lambda: sink.report().acknowledged_rows == 2)
    assert sum(rows.total() for rows in one.drops.by_reason().values()) == 1
    assert sink.close(60.0)
    finish(one)


def test_a_collector_that_repeats_the_sweep_counts_the_row_once(
    tmp_path: Path, one: RecordingStore, spec: SinkSpec, server: Server
) -> None:
    """The first one dies after it has sent the row, and before it has flushed it."""
    first = idle_sink(spec, one)
    repeated = chunks([1])
    one.append(repeated, first.send_ahead)
    wait_until(lambda: has(server, {0, 1}))
    first.stop()
    wait_until(lambda: first.is_done)
    again = RecordingStore(RECORDING, tmp_path / "spool", NONCE)
    again.append(repeated)
    again.flush(FLUSH_SECS)
    second = LiveSink(spec, again)
    wait_until(lambda: is_up_to_date(second))
    assert second.report().acknowledged_rows == 2
    assert second.close(60.0)
    assert has(server, {0, 1})
    finish(again)


def test_a_server_that_was_started_anew_gets_the_row_with_all_others(
    one: RecordingStore, spec: SinkSpec, server: Server, tmp_path: Path
) -> None:
    sink = idle_sink(spec, one)
    one.append(chunks([1]), sink.send_ahead)
    wait_until(lambda: bool(sink._ahead.answered))
    server.end()
    wait_until(lambda: sink.report().state == "retrying")
    newer = Server(tmp_path / "newer.rrd", server.port)
    try:
        flush(one, sink)
        wait_until(lambda: has(newer, {0, 1}))
        assert sink.close(60.0)
        assert sink.report().acknowledged_rows == 2
    finally:
        newer.end()
    finish(one)


@pytest.mark.parametrize("some", [MAX_AHEAD_CHUNKS + 1, MAX_AHEAD_BYTES])
def test_many_rows_take_the_way_through_the_store(one: RecordingStore, spec: SinkSpec, some: int) -> None:
    sink = idle_sink(spec, one)
    many = chunks(list(range(1, some + 1))) if some < 100 else [replace(chunks([1])[0], num_bytes=some + 1)]
    assert not shown(one, sink, many)
    flush(one, sink)
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    finish(one)


@pytest.mark.parametrize("of", ["the sink", "the file"])
def test_a_row_to_which_rules_apply_takes_the_way_through_the_store(
    one: RecordingStore, spec: SinkSpec, tmp_path: Path, of: str
) -> None:
    rules = values_of([Rule(path="/**", every=2)])
    if of == "the file":
        one.set_files([file_spec(tmp_path / "out.rrd", rules=rules)])
    sink = idle_sink(replace(spec, rules=rules) if of == "the sink" else spec, one)
    assert not shown(one, sink, chunks([1]))
    flush(one, sink)
    assert sink.close(60.0)
    finish(one)


def test_a_row_behind_unflushed_ones_waits_for_them(one: RecordingStore, spec: SinkSpec, server: Server) -> None:
    sink = idle_sink(spec, one)
    one.append(chunks([1]))
    assert not shown(one, sink, chunks([2]))
    flush(one, sink)
    wait_until(lambda: has(server, {0, 1, 2}))
    assert sink.close(60.0)
    finish(one)
