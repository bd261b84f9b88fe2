"""The part list counts the rows of each part exactly, also of rows that came before the part."""

from __future__ import annotations

from pathlib import Path

import pytest

import rerun_mp as rr
from rerun_mp.collector.store import part_writer
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rotating import Rotating
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import Rotation, closed_parts
from rerun_mp.session.rules import file_values_of
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import numbers_in, put


def rotating(out: Path, **settings: object) -> SinkSpec:
    """Return the sink of a file that rotates at 4096 bytes, which one row does not reach and 20 rows do."""
    part = str(out.with_suffix(".0001.rrd"))
    return SinkSpec("file", part, wanted=str(out), rotation=Rotation(bytes=4096).values, **settings)  # type: ignore[arg-type]


def check(out: Path, *numbers: list[int]) -> None:
    """Check the numbers of the rows of each part, and their count in the list."""
    parts = [(part.number, numbers_in(Path(part.path)), part.rows) for part in closed_parts(str(out))]
    assert parts == [(number, rows, len(rows)) for number, rows in enumerate(numbers, 1)]


class KilledError(Exception):
    """Stands for the death of the process."""


def be_killed(*_: object) -> None:
    raise KilledError


def test_rows_before_the_file_are_in_its_first_part_if_the_collector_is_killed_as_it_begins(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next life went on with the second part, and listed it without these rows."""
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(10))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "begin_target", be_killed)
        with pytest.raises(KilledError):
            one.set_files([rotating(out)])
    two = RecordingStore(RECORDING, spool, NONCE)
    two.set_files([rotating(out)])
    put(two, range(10, 20))
    two.rotate_if_due()
    put(two, [20])
    finish(two)
    check(out, list(range(20)), [20])


def test_rows_that_a_successor_stores_before_it_knows_the_file_count_in_the_next_part(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The collector was killed between two parts."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    with monkeypatch.context() as patch:
        patch.setattr(Rotating, "_begin_next", be_killed)
        with pytest.raises(KilledError):
            one.rotate_if_due()
    two = RecordingStore(RECORDING, spool, NONCE)
    put(two, range(20, 23))
    two.set_files([rotating(out)])
    put(two, [23])
    finish(two)
    check(out, list(range(20)), list(range(20, 24)))


def test_a_first_part_is_listed_though_a_removed_one_had_its_path(spool: Path, out: Path) -> None:
    """Somebody has removed the file's former parts and their list, and the program sets the file again."""
    one = RecordingStore(RECORDING, spool, NONCE)
    for numbers in (range(20), range(20, 23)):
        for path in out.parent.iterdir():
            path.unlink()
        one.set_files([rotating(out)])
        put(one, numbers)
        one.set_files([])
        check(out, list(numbers))
    assert one.rotating.rows_until_now() == 23
    finish(one)


def test_rows_that_a_part_gets_at_its_end_count_without_those_that_its_rules_hold_back(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had no room for rows that came before it."""

    def fail(*_: object) -> int:
        raise ResourceError("no room")

    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, range(30))
    spec = rotating(out, rules=file_values_of([rr.Rule(path="entity", every=3)], str(out)))
    with monkeypatch.context() as full:
        full.setattr(part_writer, "merge", fail)
        one.set_files([spec])
    put(one, range(30, 33))
    finish(one)
    check(out, list(range(0, 33, 3)))
