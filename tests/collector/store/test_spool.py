"""The spool keeps its bound, and counts the rows that it drops."""

from __future__ import annotations

from pathlib import Path

from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    dropped_rows,
    file_spec,
    put,
)
from tests.harness.recordings import chunks_of


def test_the_spool_is_bounded_drops_its_oldest_and_counts(spool: Path, out: Path) -> None:
    bound, total, rows = 8 << 20, 25, 60_000
    one = RecordingStore(RECORDING, spool, NONCE, max_bytes=bound)
    for n in range(total):
        put(one, [n], rows=rows)
        assert sum(part.stat().st_size for part in one.directory.glob("*.rrd")) <= bound * 9 // 8 + (2 << 20)
    dropped = dropped_rows(one)
    assert 0 < dropped < total * rows
    one.set_files([file_spec(out)])
    finish(one)
    kept = list(chunks_of(out))
    assert sum(map(len, kept)) + dropped == total * rows
    assert [int.from_bytes(chunk.row_ids[0][:8], "big") - 1000 for chunk in kept] == list(range(dropped // rows, total))
