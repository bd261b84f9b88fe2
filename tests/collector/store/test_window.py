"""A file with `keep_last` keeps the last seconds of the run, back from the newest row, and those of ten runs before."""

from __future__ import annotations

from pathlib import Path

import pytest

from rerun_mp.collector.store import disks
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.window import MAX_RUNS
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import ClosedPart, Rotation, add_to_part_list, closed_parts, read_part_list
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import file_status, numbers_in, put
from tests.harness.recordings import verify

WINDOW = 60.0
STEP = 2.0
"""Seconds between two rows."""


def windowed(out: Path) -> SinkSpec:
    part = str(out.with_suffix(".0001.rrd"))
    return SinkSpec("file", part, wanted=str(out), rotation=Rotation(keep_last=WINDOW).values)


def store_of(spool: Path, out: Path, clock: HandedClock) -> RecordingStore:
    store = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    store.set_files([windowed(out)])
    return store


def log(store: RecordingStore, clock: HandedClock, numbers: range) -> None:
    """Store one row each `STEP` seconds."""
    for number in numbers:
        clock.go(STEP)
        put(store, [number])
        store.rotate_if_due()


def kept(out: Path) -> list[int]:
    """Return the numbers in all parts. Each part must be valid."""
    found: list[int] = []
    for path in sorted(out.parent.glob("*.rrd")):
        verify(path)
        found += numbers_in(path)
    return found


def test_the_window_and_at_most_a_part_more_stay(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(100))
    removed = file_status(one).removed_rows
    finish(one)
    rows = kept(out)
    assert rows == list(range(removed, 100))
    assert WINDOW / STEP <= len(rows) <= (WINDOW + WINDOW / 6) / STEP + 2
    assert read_part_list(str(out)).removed_rows == removed


def test_the_window_of_a_program_that_hangs_stays(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(40))
    before = file_status(one).removed_rows
    for _ in range(100):
        clock.go(60.0)
        one.rotate_if_due()
    assert file_status(one).removed_rows == before
    finish(one)
    assert kept(out) == list(range(before, 40))


@pytest.mark.parametrize("change_secs", [1e9, -1e9])
def test_no_jump_of_the_wall_clock_removes_a_part(change_secs: float, spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(25))
    clock.set_wall(change_secs)
    log(one, clock, range(25, 30))
    assert file_status(one).removed_rows == 0
    finish(one)
    assert kept(out) == list(range(30))


def test_a_collector_that_comes_hours_later_keeps_the_window(spool: Path, out: Path) -> None:
    """As a recovery after the whole tree was killed, also with rows that the collector had not stored."""
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(28))
    assert file_status(one).removed_rows == 0
    clock.go(7200.0)
    again = store_of(spool, out, clock)
    put(again, [28])
    again.rotate_if_due()
    finish(again)
    assert kept(out) == list(range(29))


def test_a_recovery_that_takes_longer_than_the_window_keeps_it(spool: Path, out: Path) -> None:
    """The session has no participants, so its rows were logged earlier, whenever they are stored."""
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(28))
    again = store_of(spool, out, clock)
    for number in range(28, 31):
        clock.go(2 * WINDOW)
        put(again, [number])
        again.rotate_if_due(has_participants=False)
    finish(again)
    assert kept(out) == list(range(31))


def test_a_recovery_removes_no_part_that_the_killed_collector_had_kept(spool: Path, out: Path) -> None:
    """The collector was killed while it wrote a snapshot, for which old parts stay."""
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(28))
    one.rotating.readers = 1
    log(one, clock, range(28, 60))
    clock.go(WINDOW)
    again = store_of(spool, out, clock)
    put(again, [60])
    again.rotate_if_due(has_participants=False)
    finish(again)
    assert kept(out) == list(range(61))


def test_the_window_goes_on_when_a_full_disk_has_room_again(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = HandedClock()
    one = store_of(spool, out, clock)
    log(one, clock, range(12))
    roomy = disks.has_room
    monkeypatch.setattr(disks, "has_room", lambda path, size: str(spool) in path and roomy(path, size))
    log(one, clock, range(12, 30))
    assert file_status(one).state == "diverted"
    monkeypatch.undo()
    log(one, clock, range(30, 100))
    assert file_status(one).state == "writing"
    assert file_status(one).failure is None
    removed = file_status(one).removed_rows
    finish(one)
    assert kept(out) == list(range(removed, 100))
    assert WINDOW / STEP <= 100 - removed <= (WINDOW + WINDOW / 6) / STEP + 2
    assert "no space is left" in capfd.readouterr().err


def test_windows_of_ten_runs_before_stay(spool: Path, out: Path) -> None:
    for number in range(1, MAX_RUNS + 3):
        path = out.with_suffix(f".{number:04}.rrd")
        path.write_bytes(bytes(5000))
        add_to_part_list(str(out), ClosedPart(str(path), number, "app", "one", "host", f"run {number}", 1, 5000, 0))
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    first = str(out.with_suffix(f".{MAX_RUNS + 3:04}.rrd"))
    one.set_files([SinkSpec("file", first, wanted=str(out), rotation=Rotation(keep_last=WINDOW).values)])
    log(one, clock, range(5))
    finish(one)
    assert [part.number for part in closed_parts(str(out))] == list(range(3, MAX_RUNS + 4))
