"""The files of a store hold the rows that they should, each once."""

from __future__ import annotations

import base64
import dataclasses
import stat
from pathlib import Path

import pytest
from rerun.blueprint import Blueprint, TimeSeriesView
from rerun.blueprint.api import create_in_memory_blueprint

from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import (
    FLUSH_SECS,
    chunks,
    file_spec,
    nothing_left,
    numbers_in,
    numbers_read,
    put,
)
from tests.harness.recordings import verify
from tests.harness.rerun_names import RrdReader


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


def test_chunks_that_rerun_refuses_are_counted(spool: Path, out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(out)])
    (good, bad) = chunks([0, 1], rows=3)
    broken = bad.batch.replace_schema_metadata({"sorbet:version": "nonsense", "rerun:id": "none"})
    refused = one.append([dataclasses.replace(bad, batch=broken), good])
    one.flush(FLUSH_SECS)
    assert sum(chunk.num_rows for chunk in refused) == 3
    finish(one)
    assert numbers_in(out) == [0, 0, 0]
    assert "refuses" in capfd.readouterr().err
