"""The journals tell what lies in a spool directory, and only complete stores are removed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.spools import remove_complete, spooled_rows, stored_recordings, stored_targets
from rerun_mp.encoding.frames import RecordingKey
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import chunks, file_spec, put

OTHER = RecordingKey("app", "without a file")


def test_stores_are_found_with_their_files_and_spooled_rows(spool: Path, out: Path) -> None:
    one, other = RecordingStore(RECORDING, spool, NONCE), RecordingStore(OTHER, spool, NONCE)
    scoped = RecordingStore(OTHER, spool, NONCE, scoped_to="grpc url")
    one.set_files([file_spec(out)])
    for store in (one, other, scoped):
        put(store, [0, 1], rows=3)
        store.rest()
    assert sorted(stored_recordings(spool)) == [(RECORDING, ""), (OTHER, ""), (OTHER, "grpc url")]
    assert stored_targets(spool) == {RECORDING: [str(out)], OTHER: []}
    assert spooled_rows(spool) == Counter({OTHER: 6})


def test_spooled_rows_that_a_collector_has_stored_again_count_once(spool: Path, out: Path) -> None:
    """Each collector has died before its sweep was done. Rows that a file has are not spooled."""
    for life in range(3):
        one = RecordingStore(RECORDING, spool, NONCE)
        other = RecordingStore(OTHER, spool, NONCE)
        if life == 0:
            one.set_files([file_spec(out)])
        else:
            one._writing.failure = "no more rows"
        for store in (one, other):
            put(store, [0, 1, *range(2, 2 + life)], rows=3)
            store.rest()
    assert spooled_rows(spool) == Counter({RECORDING: 6, OTHER: 12})
    ids = {chunk.chunk_id for chunk in chunks([0, 3], rows=3)}
    assert spooled_rows(spool, ids) == Counter({RECORDING: 3, OTHER: 6})


def test_stores_that_are_not_complete_stay_and_damaged_journals_too(spool: Path, out: Path) -> None:
    one, other = RecordingStore(RECORDING, spool, NONCE), RecordingStore(OTHER, spool, NONCE)
    one.set_files([file_spec(out)])
    for store in (one, other):
        put(store, [0])
        store.rest()
    one.complete()
    (spool / "stray").write_text("no store")
    assert not remove_complete(spool)
    assert list(spool.iterdir()) == [other.directory]
    (other.directory / "journal.json").write_text("damaged")
    assert not remove_complete(spool)
    assert stored_recordings(spool) == []
    (other.directory / "journal.json").unlink()
    assert remove_complete(spool)
    assert not spool.exists()
