"""Latency and idle cost: the reader counts complete chunks only, and both programs run on real servers."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.latency import CHUNK, MESSAGE, MessageReader
from benchmarks.rounds import Runner
from benchmarks.workloads import Job
from tests.conftest import RunPython


def test_a_chunk_counts_when_its_last_byte_is_there(tmp_path: Path) -> None:
    path = tmp_path / "growing.rrd"
    reader = MessageReader(path)
    assert reader.chunks() == 0
    with path.open("wb", buffering=0) as file:
        file.write(b"RRF2" + bytes(8) + MESSAGE.pack(1, 3) + b"abc")
        assert reader.chunks() == 0
        whole = MESSAGE.pack(CHUNK, 5) + b"abcde"
        for end in range(len(whole)):
            file.write(whole[end : end + 1])
            assert reader.chunks() == (end == len(whole) - 1)
        file.write(whole + whole)
    assert reader.chunks() == 3


def test_the_reader_counts_the_chunks_of_a_real_recording(tmp_path: Path, run_python: RunPython) -> None:
    code = """
        import sys
        import rerun as rr
        rr.init("chunks")
        rr.save(sys.argv[1])
        for n in range(5):
            rr.log("work", rr.Scalars(n))
            rr.get_global_data_recording().flush()
        rr.disconnect()
    """
    path = tmp_path / "real.rrd"
    run_python(code, path).check()
    reader = MessageReader(path)
    assert reader.chunks() >= 5


def test_latency_is_measured_behind_a_real_server() -> None:
    runner = Runner(0, Path(tempfile.gettempdir()))
    for carrier in ("rerun_mp", "rerun"):
        result = runner.run(Job(carrier, task="latency", workers=1, rows=3))
        assert result.lost == 0
        for place in ("server", "follower"):
            assert len(result.figures[place]) == 3
            assert all(millis > 0 for millis in result.figures[place])


def test_the_cost_of_an_idle_session_is_measured() -> None:
    runner = Runner(0, Path(tempfile.gettempdir()))
    for carrier, sink in (("rerun_mp", "file"), ("rerun", "server")):
        result = runner.run(Job(carrier, task="idle", workers=1, rows=0, sink=sink, secs=0.5))  # type: ignore[arg-type]
        assert result.lost == 0
        assert 0 <= result.figures["cpu_share"] < 1
