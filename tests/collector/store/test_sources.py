"""The files that a snapshot is read from hold every flushed chunk, and no part is removed while they are read."""

from __future__ import annotations

from pathlib import Path

from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import Rotation
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import chunks, file_spec, file_status, put, write_file
from tests.collector.store.test_window import STEP, WINDOW, log, store_of

PART_SECS = WINDOW / 6


def steps_in(store: RecordingStore) -> list[int]:
    """Return the numbers of all chunks that a snapshot would hold, each once."""
    sources = store.rotating.sources()
    assert sources is not None
    with sources:
        return [int(chunk.to_record_batch().column("step")[0].as_py()) for one in sources.files for chunk in one.read()]


def test_parts_stay_while_they_are_read(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(30))
    one.rotating.readers += 1
    log(one, clock, range(30, 100))
    assert file_status(one).removed_rows == 0
    assert steps_in(one) == list(range(100))
    one.rotating.readers -= 1
    log(one, clock, range(100, 102))
    assert steps_in(one) == list(range(file_status(one).removed_rows, 102))
    assert len(steps_in(one)) <= (WINDOW + PART_SECS) / STEP + 2
    finish(one)


def test_rows_of_an_earlier_life_and_rows_without_a_file_are_sources(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    assert one.rotating.sources() is None
    put(one, [0])
    assert steps_in(one) == [0]
    one.set_files([SinkSpec("file", str(out.with_suffix(".0001.rrd")), wanted=str(out), rotation=Rotation().values)])
    put(one, [1])
    again = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    put(again, [2])
    assert steps_in(again) == [0, 1, 2]
    finish(again)


def test_a_snapshot_has_no_row_of_the_files_other_recordings(spool: Path, out: Path) -> None:
    """A file that is added to holds them from its first completion for readers on."""
    write_file(out, chunks(range(5)))
    one = RecordingStore(RECORDING._replace(recording_id="added"), spool, NONCE)
    one.set_files([file_spec(out, mode="append")])
    put(one, [10])
    one.set_files([file_spec(out, mode="append", checkpoints=1)])
    put(one, [11])
    assert steps_in(one) == [10, 11]
    finish(one)
