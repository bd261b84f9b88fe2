"""The spool keeps its bound, and counts the rows that it drops."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.collector.store import disks
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    FLUSH_SECS,
    chunks,
    dropped_rows,
    file_spec,
    numbers_read,
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


def test_rows_of_a_repeated_sweep_that_push_their_first_copy_out_of_the_spool_are_not_dropped(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the collector stores them again, so it removes the part with the first copy."""
    repeated = chunks(range(3), rows=7)
    answers: list[bool] = []
    monkeypatch.setattr(disks, "has_room", lambda *_: not answers or answers.pop())
    for _ in range(2):
        one = RecordingStore(RECORDING, spool, NONCE)
        one.begin(1, {chunk.chunk_id for chunk in repeated})
        one.append(repeated)
        one.flush(FLUSH_SECS)
        answers.append(False)
    assert numbers_read(one) == [0, 1, 2]
    assert one.drops.total() == 0
    finish(one)
