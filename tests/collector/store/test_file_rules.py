"""A file gets what its rules allow. The other rows are counted, exactly, also when a sweep is repeated after a kill."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.collector.store import part_writer
from rerun_mp.collector.store.drops import KnownProducers
from rerun_mp.collector.store.file_rules import BacklogRules
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import Rotation
from rerun_mp.session.rules import file_values_of
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import FLUSH_SECS, chunks, file_spec, file_status, nothing_left, numbers_in, put
from tests.harness.programs import run_program
from tests.harness.recordings import verify


def ruled(path: Path, **rule: object) -> SinkSpec:
    return file_spec(path, rules=file_values_of([rr.Rule(path="entity", **rule)], str(path)))  # type: ignore[arg-type]


def test_rows_that_came_before_and_after_the_file_fulfil_its_rules(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(4))
    one.set_files([ruled(out, every=3)])
    put(one, range(4, 9))
    assert file_status(one).held_rows == 6
    finish(one)
    verify(out)
    assert numbers_in(out) == [0, 3, 6]
    assert nothing_left(spool, out)


def test_rows_that_came_before_the_file_fulfil_its_rules_also_if_the_file_could_not_take_them(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a collector that is killed while it copies them. The next one merges them."""

    def fail(*_: object) -> int:
        raise ResourceError("no more rows")

    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(4))
    with monkeypatch.context() as failing:
        failing.setattr(part_writer, "merge", fail)
        one.set_files([ruled(out, every=2)])
    again = RecordingStore(RECORDING, spool, NONCE)
    again.set_files([ruled(out, every=2)])
    put(again, range(4, 6))
    assert again.chunks.held_rows == 1
    finish(again)
    assert again.chunks.held_rows == 3
    verify(out)
    assert numbers_in(out) == [0, 2, 4]
    assert nothing_left(spool, out)


@pytest.mark.parametrize("is_saved", [False, True], ids=["before the save", "after the save"])
def test_rows_that_came_before_the_file_are_held_back_once_if_the_collector_is_killed_at_the_count(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, *, is_saved: bool
) -> None:
    """The count and the list of parts are saved together."""

    class Killed(BaseException):
        pass

    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(4))
    count, save = BacklogRules.count, Journal.save

    def count_and_die(rules: BacklogRules) -> None:
        def save_and_die(journal: Journal) -> None:
            if is_saved:
                save(journal)
            raise Killed

        count(rules)
        monkeypatch.setattr(Journal, "save", save_and_die)

    with monkeypatch.context() as killing:
        killing.setattr(BacklogRules, "count", count_and_die)
        with pytest.raises(Killed):
            one.set_files([ruled(out, every=2)])
    monkeypatch.setattr(Journal, "save", save)
    again = RecordingStore(RECORDING, spool, NONCE)
    again.set_files([ruled(out, every=2)])
    put(again, range(4, 6))
    finish(again)
    assert again.chunks.held_rows == 3
    assert numbers_in(out) == [0, 2, 4]


def test_a_chunk_may_lose_some_of_its_rows(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([ruled(out, every=4)])
    put(one, [1, 2], rows=6)
    assert one.chunks.held_rows == 9
    finish(one)
    verify(out)
    assert numbers_in(out) == [1, 1, 2]


def test_other_rules_of_the_same_file_hold_from_then_on_and_the_next_file_has_its_own(spool: Path, out: Path) -> None:
    second = out.with_name("second.rrd")
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([ruled(out, off=True)])
    put(one, [0])
    one.set_files([file_spec(out)])
    put(one, [1])
    one.set_files([ruled(second, every=2)])
    put(one, [2, 3])
    finish(one)
    assert (numbers_in(out), numbers_in(second)) == ([1], [2])


def test_a_window_keeps_the_last_rows_that_the_rules_allow_and_counts_the_others(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    first = out.with_suffix(".0001.rrd")
    rotation = Rotation(keep_last=60.0).values
    one.set_files([replace(ruled(first, every=2), wanted=str(out), rotation=rotation)])
    for number in range(100):
        clock.go(2.0)
        put(one, [number])
        one.rotate_if_due()
    held, removed = one.chunks.held_rows, file_status(one).removed_rows
    finish(one)
    kept = [number for part in sorted(out.parent.glob("*.rrd")) for number in numbers_in(part)]
    assert held == 50
    assert kept == list(range(2 * removed, 100, 2))
    assert 60 / 4 <= len(kept) <= (60 + 60 / 6) / 4 + 2


LIFE = """
import os, signal, sys
from pathlib import Path
from rerun_mp.collector.store.recording_store import RecordingStore
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import chunks
from tests.collector.store.test_file_rules import ruled, sweep
store = RecordingStore(RECORDING, Path(sys.argv[1]), NONCE)
store.set_files([ruled(Path(sys.argv[2]), every=3)])
sweep(store, 1, range(4))
sweep(store, 2, range(10, 15))
os.kill(os.getpid(), signal.SIGKILL)
"""


def sweep(store: RecordingStore, number: int, numbers: Iterable[int]) -> None:
    """Store the chunks of a sweep."""
    built = chunks(list(numbers))
    store.begin(number, {chunk.chunk_id for chunk in built})
    store.append(built)
    store.flush(FLUSH_SECS)


def test_a_repeated_sweep_gives_each_row_once_and_the_count_stays_exact(spool: Path, out: Path) -> None:
    assert run_program(LIFE, spool, out).returncode == -signal.SIGKILL
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([ruled(out, every=3)])
    sweep(one, 2, range(10, 15))
    sweep(one, 3, range(20, 22))
    held = one.chunks.held_rows
    finish(one)
    verify(out)
    numbers = numbers_in(out)
    assert {0, 3, 12} <= set(numbers), "rows that were in the file are still there"
    assert len(set(numbers)) == len(numbers)
    assert len(numbers) + held == 4 + 5 + 2


@pytest.mark.parametrize("lives", [1, 2, 3])
def test_rows_of_a_repeated_sweep_that_came_before_the_file_are_held_back_once(
    spool: Path, out: Path, lives: int
) -> None:
    """The last collector repeats the sweep after it has begun the file with what the others have stored of it."""
    for _ in range(lives):
        one = RecordingStore(RECORDING, spool, NONCE)
        sweep(one, 1, range(6))
    last = RecordingStore(RECORDING, spool, NONCE)
    last.set_files([ruled(out, every=3)])
    sweep(last, 1, range(6))
    sweep(last, 2, range(6, 9))
    assert last.chunks.held_rows == 6
    finish(last)
    verify(out)
    assert numbers_in(out) == [0, 3, 6]


def test_producers_are_looked_up_only_when_a_row_may_be_of_a_new_one() -> None:
    looks: list[int] = []
    known = [0]

    def first_rows() -> list[int]:
        looks.append(1)
        return known

    producers = KnownProducers(first_rows)
    batch = chunks([1], rows=5)[0].batch
    assert producers.count("/entity", batch) == producers.count("/entity", batch) == {0: 5}
    assert len(looks) == 1
