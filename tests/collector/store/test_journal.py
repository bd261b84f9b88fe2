"""A collector that was killed costs no flushed row: the next one finds its parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    file_spec,
    live_and_be_killed,
    nothing_left,
    numbers_in,
    numbers_read,
    put,
)
from tests.harness.recordings import verify


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


@pytest.mark.parametrize("target", ["file", "none"])
def test_a_chunk_that_a_killed_worker_had_written_is_in_the_file_once(target: str, spool: Path, out: Path) -> None:
    """Its successor stores it again, because it had not noted the flush."""
    live_and_be_killed(spool, out, [0, 1], target=target, is_written=True)
    store = RecordingStore(RECORDING, spool, NONCE)
    store.set_files([file_spec(out)])
    put(store, [99, 2])
    finish(store)
    verify(out)
    assert sorted(numbers_in(out)) == [0, 1, 2, 99]


@pytest.mark.parametrize("target", ["file", "none"])
@pytest.mark.parametrize("damage", ["", "no JSON", "{}", None])
def test_a_damaged_journal_costs_no_row(damage: str | None, target: str, spool: Path, out: Path) -> None:
    """Its copy names every part."""
    live_and_be_killed(spool, out, [0, 1, 2], target=target)
    (journal,) = spool.glob("*/journal.json")
    if damage is None:
        journal.unlink()
    else:
        journal.write_text(damage)
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [3, 99, 4])
    finish(one)
    verify(out)
    assert sorted(numbers_in(out)) == [0, 1, 2, 3, 4, 99]


def test_a_store_without_a_readable_journal_begins_anew(spool: Path, out: Path, place: Path) -> None:
    """What it had is set aside, and the next rows arrive."""
    live_and_be_killed(spool, out, [0, 1, 2], target="none")
    for journal in [*spool.glob("*/journal.json"), *spool.glob("*/journal.copy")]:
        journal.write_text("damaged")
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    put(one, [3, 99, 4])
    finish(one)
    verify(out)
    assert sorted(numbers_in(out)) == [3, 4, 99]
    assert list((place / "data").glob("rerun_mp/damaged-*/*.rrd"))
