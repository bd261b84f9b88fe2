"""A viewer gets every row sooner or later, and holds up neither the store nor the process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.collector import live
from rerun_mp.collector.drain.own_chunks import start_time_chunk
from rerun_mp.collector.live import LiveSink
from rerun_mp.collector.recording_output import RecordingOutput
from rerun_mp.collector.store.flushed_chunks import Flushed
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.session.config import RecordingSpec, SinkSpec
from rerun_mp.session.rotation import Rotation
from rerun_mp.session.rules import Rule, values_of
from tests.collector.endings import finish
from tests.collector.made_frames import MEGABYTE, NONCE, RECORDING, blob
from tests.collector.store.made_stores import chunks, file_spec, numbers_in, put
from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.programs import ROOT, slowdown, wait_until
from tests.harness.recordings import rows_of
from tests.harness.servers import Server
from tests.harness.viewers import free_port


def has(server: Server, numbers: set[int]) -> bool:
    """Whether the server has saved a row of each number, and no other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        try:
            return set(numbers_in(server.saved)) == numbers
        except (RuntimeError, ValueError, OSError):
            return False  # not there yet, or cut inside a message


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def spec(port: int) -> SinkSpec:
    return SinkSpec("grpc", f"rerun+http://127.0.0.1:{port}/proxy")


@pytest.fixture
def serve(tmp_path: Path, port: int) -> Iterator[Callable[[], Server]]:
    """Start servers on the port, one after the other."""
    servers: list[Server] = []

    def start() -> Server:
        servers.append(Server(tmp_path / f"saved-{len(servers)}.rrd", port))
        return servers[-1]

    try:
        yield start
    finally:
        for server in servers:
            server.end()


@pytest.fixture
def one(tmp_path: Path) -> RecordingStore:
    return RecordingStore(RECORDING, tmp_path / "spool", NONCE)


def put_and_wake(store: RecordingStore, sink: LiveSink, number: int) -> None:
    put(store, [number])
    sink.wake()


def is_up_to_date(sink: LiveSink) -> bool:
    status = sink.report()
    return status.state == "connected" and status.behind_chunks == 0


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def test_rows_from_before_and_after_the_sink_was_attached_arrive(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    server = serve()
    put(one, [0, 1])
    sink = LiveSink(spec, one)
    for number in range(2, 10):
        put_and_wake(one, sink, number)
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    assert sink.report().missed_chunks == 0
    wait_until(lambda: has(server, set(range(10))))
    finish(one)


def test_rows_that_are_stored_before_the_sink_is_closed_arrive(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    server = serve()
    sink = LiveSink(spec, one)
    wait_until(lambda: sink.report().state == "connected")
    put(one, list(range(200)))
    one.complete()
    assert sink.close(60.0)
    wait_until(lambda: has(server, set(range(200))))


def test_a_viewer_that_comes_later_gets_everything(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    sink = LiveSink(spec, one)
    put_and_wake(one, sink, 0)
    wait_until(lambda: sink.report().failure)
    server = serve()
    put_and_wake(one, sink, 1)
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    wait_until(lambda: has(server, {0, 1}))
    finish(one)


def test_a_viewer_that_was_never_there_costs_nothing(one: RecordingStore, spec: SinkSpec) -> None:
    sink = LiveSink(spec, one)
    put_and_wake(one, sink, 0)
    wait_until(lambda: sink.report().failure)
    assert sink.close(60.0)
    assert (sink.report().state, sink.report().behind_chunks) == ("closed", 1)
    finish(one)


def test_a_viewer_started_anew_is_noticed_and_gets_everything_again(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server], capfd: pytest.CaptureFixture[str]
) -> None:
    """Even while nothing is logged, and although the chunks that the first viewer took are no longer in memory."""
    first = serve()
    sink = LiveSink(spec, one)
    put_and_wake(one, sink, 0)
    wait_until(lambda: is_up_to_date(sink))
    first.end()
    second = serve()
    wait_until(lambda: has(second, {0}))
    put_and_wake(one, sink, 1)
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    wait_until(lambda: has(second, {0, 1}))
    finish(one)
    assert "has closed the connection" in capfd.readouterr().err


def test_a_frozen_viewer_costs_neither_the_file_nor_memory_and_catches_up(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server], tmp_path: Path
) -> None:
    total = 160
    server = serve()
    one.set_files([file_spec(tmp_path / "out.rrd")])
    sink = LiveSink(spec, one)
    wait_until(lambda: sink.report().state == "connected")
    server.freeze()
    before = resident_megabytes()
    for number in range(total):
        chunk = blob(number)
        one.append([chunk])
        one.flush(60.0)
        sink.wake()
    wait_until(lambda: sink.report().state == "stalled")
    assert resident_megabytes() - before < 110  # recent chunks, one window, and what is on its way
    assert total - sink.report().behind_chunks < 20
    assert (tmp_path / "out.rrd").stat().st_size > total * MEGABYTE
    server.thaw()
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    wait_until(lambda: has(server, set(range(total))))
    finish(one)


def test_a_viewer_that_freezes_while_it_catches_up_is_sent_no_more_than_a_few_megabytes(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard 6: everything could be sent at once, and would wait in memory."""
    total, server, read = 60, serve(), one.chunks.read
    for number in range(total):
        one.append([blob(number)])
        one.flush(60.0)

    def freeze_and_read(since: int = 0) -> Iterator[Flushed]:
        if since == 0:
            server.freeze()
        return read(since)

    monkeypatch.setattr(one.chunks, "read", freeze_and_read)
    before = resident_megabytes()
    sink = LiveSink(spec, one)
    wait_until(lambda: sink.report().state == "stalled")
    assert resident_megabytes() - before < 30
    server.thaw()
    wait_until(lambda: is_up_to_date(sink))
    assert sink.close(60.0)
    wait_until(lambda: has(server, set(range(total))))
    finish(one)


def test_a_stopped_sink_delivers_what_came_before_and_nothing_that_came_after(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server], tmp_path: Path
) -> None:
    """Although its viewer lags, and the store is completed meanwhile."""
    server = serve()
    one.set_files([file_spec(tmp_path / "out.rrd")])
    sink = LiveSink(spec, one)
    wait_until(lambda: sink.report().state == "connected")
    server.freeze()
    for number in range(60):
        one.append([blob(number)])
    one.flush(60.0)
    sink.wake()
    wait_until(lambda: sink.report().state == "stalled")
    sink.stop()
    put_and_wake(one, sink, 60)
    finish(one)
    server.thaw()
    assert sink.close(60.0)
    wait_until(lambda: has(server, set(range(60))))
    assert numbers_in(tmp_path / "out.rrd") == list(range(61))


def test_closing_a_sink_whose_viewer_is_frozen_takes_no_longer_than_its_patience(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "GRACE_SECS", 0.0)
    server = serve()
    sink = LiveSink(spec, one)
    wait_until(lambda: sink.report().state == "connected")
    server.freeze()
    for number in range(8):
        one.append([blob(number)])
    one.flush(60.0)
    sink.wake()
    wait_until(lambda: sink.report().state == "stalled")
    start = time.monotonic()
    sink.close(0.2)
    assert (secs := time.monotonic() - start) < 5.0 or secs < 5.0 * slowdown()
    finish(one)
    wait_until(lambda: sink.report().state == "closed")


def test_a_process_ends_although_its_viewer_is_frozen(
    tmp_path: Path, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    server, out = serve(), tmp_path / "out.rrd"
    arguments = [str(tmp_path / "spool"), str(out), spec.target, str(server.process.pid)]
    command = [sys.executable, "-m", "tests.collector.programs.frozen_at_exit", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, timeout=60)
    assert done.returncode == 0
    assert numbers_in(out) == list(range(30))
    assert not list((tmp_path / "spool").iterdir())


def test_after_a_cut_connection_the_sink_goes_on_from_what_the_same_server_has_acknowledged(
    one: RecordingStore, port: int, serve: Callable[[], Server]
) -> None:
    server = serve()
    server.wait_until_listening()
    for number in range(20):
        one.append([blob(number)])
        one.flush(60.0)
    with CuttingProxy(port) as proxy:
        sink = LiveSink(SinkSpec("grpc", proxy.url), one)
        wait_until(lambda: is_up_to_date(sink))
        assert sink.report().acknowledged_rows == 20
        proxy.cut()
        one.append([blob(20)])
        one.flush(60.0)
        sink.wake()
        wait_until(lambda: sink.report().acknowledged_rows == 21)
        assert sink.close(60.0)
    first, *others = proxy.sent_bytes
    assert first > 20 * MEGABYTE
    assert sum(others) < 2 * MEGABYTE
    wait_until(lambda: has(server, set(range(21))))
    finish(one)


def test_a_server_started_anew_behind_the_same_address_gets_everything(
    one: RecordingStore, port: int, serve: Callable[[], Server]
) -> None:
    """The address belongs to a proxy that lives on, as with a tunnel."""
    first = serve()
    first.wait_until_listening()
    with CuttingProxy(port) as proxy:
        sink = LiveSink(SinkSpec("grpc", proxy.url), one)
        put_and_wake(one, sink, 0)
        wait_until(lambda: sink.report().acknowledged_rows == 1)
        first.end()
        second = serve()
        put_and_wake(one, sink, 1)
        wait_until(lambda: has(second, {0, 1}))
        wait_until(lambda: sink.report().acknowledged_rows == 2)
        assert sink.close(60.0)
    finish(one)


def test_a_server_has_each_row_once_although_its_rules_change(
    one: RecordingStore, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    """Rows that came before keep the former rules, except in a server that is started anew."""
    server, output = serve(), RecordingOutput(one)

    def log(number: int, rules: list[Rule]) -> None:
        output.apply(RecordingSpec(*RECORDING, (replace(spec, rules=values_of(rules)),)))
        one.append(chunks([number], rows=4))
        one.flush(60.0)
        sink.wake()

    output.apply(RecordingSpec(*RECORDING, (replace(spec, rules=values_of([Rule(path="/**", every=2)])),)))
    (sink,) = output.live.values()
    log(0, [Rule(path="/**", every=2)])
    wait_until(lambda: (sink.report().acknowledged_rows, sink.report().held_rows) == (2, 2))
    log(1, [])
    wait_until(lambda: (sink.report().acknowledged_rows, sink.report().held_rows) == (6, 2))
    assert list(output.live.values()) == [sink]
    wait_until(lambda: rows_saved(server) == 6)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        assert len(rows_of(server.saved)) == 6
    server.end()
    again = serve()
    sink.wake()
    wait_until(lambda: rows_saved(again) == 8)
    assert sink.close(60.0)
    finish(one)


@pytest.mark.parametrize("seed", range(6))
def test_acknowledged_rows_never_exceed_those_that_the_server_has(
    one: RecordingStore, port: int, serve: Callable[[], Server], seed: int
) -> None:
    """The connection is cut at any byte, and no other one is accepted."""
    server = serve()
    server.wait_until_listening()
    for number in range(12):
        one.append([blob(number)])
        one.flush(60.0)
    cut_after = random.Random(seed).randrange(1, 12 * MEGABYTE)
    with CuttingProxy(port, cut_after) as proxy:
        sink = LiveSink(SinkSpec("grpc", proxy.url), one)
        wait_until(lambda: proxy.sent_bytes and proxy.sent_bytes[0] == cut_after)
        sink.close(0.1)
        wait_until(lambda: sink.is_done)
    outcome = sink.outcome()
    assert outcome.acknowledged_rows + outcome.missing_rows == 12
    assert outcome.acknowledged_rows <= cut_after // MEGABYTE
    wait_until(lambda: rows_saved(server) >= outcome.acknowledged_rows)
    finish(one)


def rows_saved(server: Server) -> int:
    return server.rows().total()


def test_a_viewer_that_comes_after_parts_were_removed_gets_their_static_data(
    one: RecordingStore, tmp_path: Path, spec: SinkSpec, serve: Callable[[], Server]
) -> None:
    first, wanted = str(tmp_path / "parts.0001.rrd"), str(tmp_path / "parts.rrd")
    rotation = Rotation(bytes=4096, keep_parts=1).values
    one.set_files([SinkSpec("file", first, wanted=wanted, rotation=rotation)])
    one.append([start_time_chunk(RECORDING, 7)])
    for part in range(3):
        put(one, range(20 * part, 20 * (part + 1)))
        one.rotate_if_due()
    server = serve()
    sink = LiveSink(spec, one)
    wait_until(lambda: has(server, set(range(40, 60))), what="the rows of the last part")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RRD file has no footer")
        (properties,) = [row for row in rows_of(server.saved, properties=True) if row.entity_path == "__properties"]
    assert int(properties.components["RecordingInfo:start_time"].as_py()[0]) == 7
    assert sink.report().missed_chunks == 41
    sink.close(5.0)
    finish(one)
