"""The parts of a file that rotates: each is complete, has the static data, and no row is in two of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.collector.drain.own_chunks import start_time_chunk
from rerun_mp.collector.store import disks
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rotating import Rotating
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import Rotation, closed_parts, part_list_path, part_paths
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import chunks, numbers_in, numbers_read, put
from tests.conftest import RunPython
from tests.harness.recordings import count_rows, recordings_in, rows_of, verify


def rotating(out: Path, **settings: object) -> SinkSpec:
    """Return the sink of a file that rotates at 4096 bytes, which one row does not reach and 20 rows do."""
    part = str(out.with_suffix(".0001.rrd"))
    return SinkSpec("file", part, wanted=str(out), rotation=Rotation(bytes=4096).values, **settings)  # type: ignore[arg-type]


def contents(out: Path) -> list[list[int]]:
    """Return the numbers of the rows of each part."""
    found = []
    for path in sorted(out.parent.glob("*.rrd")):
        verify(path)
        found.append(numbers_in(path))
    return found


def start_time_in(path: Path) -> int:
    """Return the start time in the properties of the recording."""
    (row,) = [row for row in rows_of(path, properties=True) if row.entity_path == "__properties"]
    return int(row.components["RecordingInfo:start_time"].as_py()[0])


def test_a_part_that_is_large_is_complete_before_the_next_begins(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    one.rotate_if_due()
    assert numbers_in(out.with_suffix(".0001.rrd")) == list(range(20))
    put(one, [20])
    one.rotate_if_due()
    finish(one)
    assert contents(out) == [list(range(20)), [20]]
    assert [(part.number, part.rows) for part in closed_parts(str(out))] == [(1, 20), (2, 1)]
    assert not list(spool.iterdir())


def test_parts_go_on_when_a_full_disk_has_room_again(spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the rows stay in the spool until the end of the run, and the oldest ones are dropped there."""
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    one.set_files([rotating(out)])
    put(one, range(3))
    roomy = disks.has_room
    with monkeypatch.context() as full:
        full.setattr(disks, "has_room", lambda path, size: str(spool) in path and roomy(path, size))
        put(one, range(3, 20))
        one.rotate_if_due()
        assert not closed_parts(str(out))
    clock.go(60)
    one.rotate_if_due()
    assert numbers_in(out.with_suffix(".0001.rrd")) == list(range(20))
    put(one, [20])
    finish(one)
    assert contents(out) == [list(range(20)), [20]]
    assert not list(spool.iterdir())


def test_the_last_part_is_removed_if_no_row_came(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    one.rotate_if_due()
    assert out.with_suffix(".0002.rrd").exists()
    finish(one)
    assert contents(out) == [list(range(20))]


def test_the_list_names_no_part_that_was_removed_before_an_end_without_rows(spool: Path, out: Path) -> None:
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    spec = replace(rotating(out), rotation=Rotation(bytes=4096, keep_seconds=60).values)
    one.set_files([spec])
    put(one, range(20))
    one.rotate_if_due()
    assert [part.number for part in closed_parts(str(out))] == [1]
    clock.go(100)
    one.rotate_if_due()
    one.set_files([])
    assert closed_parts(str(out)) == []
    assert contents(out) == []
    finish(one)


def test_each_part_begins_with_the_static_data_of_the_parts_before(spool: Path, out: Path) -> None:
    """The properties of the recording are static data; a reader that follows all parts gets them once."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    one.append([start_time_chunk(RECORDING, 7)])
    for first in (0, 20, 40):
        put(one, range(first, first + 20))
        one.rotate_if_due()
    assert len(list(one.chunks.read())) == 61
    finish(one)
    paths = sorted(out.parent.glob("*.rrd"))
    assert [start_time_in(path) for path in paths] == [7, 7, 7]
    assert contents(out) == [list(range(20)), list(range(20, 40)), list(range(40, 60))]


class KilledError(Exception):
    """Stands for the death of the process."""


def be_killed(_: Rotating) -> None:
    raise KilledError


@pytest.mark.parametrize("following", ["parts", "parts of the path", "file", "nothing"])
def test_a_collector_killed_when_another_file_follows_the_parts_puts_no_row_into_a_further_part(
    following: str, spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last part was complete. The next life went on with that series in place of the file, or did not list it."""
    other = out.with_name("other.rrd")
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(3))
    again = replace(rotating(out), target=str(out.with_suffix(".0002.rrd")))
    file = SinkSpec("file", str(other))
    specs = {"parts": [rotating(other)], "parts of the path": [again], "file": [file], "nothing": []}[following]
    with monkeypatch.context() as patch:
        patch.setattr(Rotating, "end", be_killed)
        with pytest.raises(KilledError):
            one.set_files(specs)
    two = RecordingStore(RECORDING, spool, NONCE)
    two.set_files(specs)
    assert [(Path(part.path).name, part.rows) for part in closed_parts(str(out))] == [("out.0001.rrd", 3)]
    put(two, [3])
    two.set_files(specs or [file])
    finish(two)
    places = {"parts": "other.0001.rrd", "parts of the path": "out.0002.rrd"}
    assert numbers_in(out.with_suffix(".0001.rrd")) == [0, 1, 2]
    assert numbers_in(out.with_name(places.get(following, "other.rrd"))) == [3]
    assert len(list(out.parent.glob("*.rrd"))) == 2


def test_static_data_that_came_before_the_file_are_in_each_part(spool: Path, out: Path) -> None:
    """All rows that came before count in the first part."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.append([start_time_chunk(RECORDING, 7)])
    put(one, range(10))
    one.set_files([rotating(out)])
    for first in (10, 30):
        put(one, range(first, first + 20))
        one.rotate_if_due()
    put(one, [50])
    finish(one)
    paths = sorted(out.parent.glob("*.rrd"))
    assert [start_time_in(path) for path in paths] == [7, 7, 7]
    assert contents(out) == [list(range(30)), list(range(30, 50)), [50]]
    assert [part.rows for part in closed_parts(str(out))] == [30, 20, 1]


def test_a_second_run_with_the_same_recording_id_adds_parts_to_the_recording(
    run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "run.rrd"
    for step in range(2):
        run_python(
            """
            import sys
            import rerun_mp as rr
            rr.init("robot", recording_id="field-test-3")
            rr.save(sys.argv[1], rotate=rr.Rotation())
            rr.log(f"step/{sys.argv[2]}", rr.Scalars(1.0))
            """,
            path,
            str(step),
        ).check()
    parts = [Path(part.path) for part in closed_parts(str(path))]
    assert [part.name for part in parts] == ["run.0001.rrd", "run.0002.rrd"]
    assert [count_rows(part) for part in parts] == [{"step/0": 1}, {"step/1": 1}]
    assert {one for part in parts for one in recordings_in(part)} == {("robot", "field-test-3")}


def test_a_request_for_the_next_part_is_met_once(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, [0])
    one.set_files([rotating(out, episodes=1)])
    one.rotate_if_due()
    put(one, [1])
    one.rotate_if_due()
    again = RecordingStore(RECORDING, spool, NONCE)
    again.set_files([rotating(out, episodes=1)])
    again.rotate_if_due()
    put(again, [2])
    finish(again)
    assert contents(out) == [[0], [1, 2]]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_part_whose_line_could_not_be_written_is_listed_later(
    is_killed: bool, spool: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also by the successor of a collector that was killed before its disk had room."""
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    one.set_files([rotating(out)])
    listed = Path(part_list_path(str(out)))
    listed.mkdir()  # a line can neither be written nor read
    for number in range(2):
        put(one, range(20 * number, 20 * (number + 1)))
        one.rotate_if_due()
    assert closed_parts(str(out)) == []
    if is_killed:
        one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
        one.set_files([rotating(out)])
    listed.rmdir()
    clock.go(1.0)
    one.rotate_if_due()
    assert [(part.number, part.rows) for part in closed_parts(str(out))] == [(1, 20), (2, 20)]
    finish(one)
    assert [part.number for part in closed_parts(str(out))] == [1, 2]
    assert capfd.readouterr().err.count("cannot be written") == 1


def test_rows_in_parts_that_are_gone_count_also_in_the_next_life(spool: Path, out: Path) -> None:
    """A node's parts are gone as soon as the head has them."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    one.rotate_if_due()
    out.with_suffix(".0001.rrd").unlink()
    put(one, range(20, 23))
    assert one.rotating.rows_until_now() == 23
    again = RecordingStore(RECORDING, spool, NONCE)
    again.set_files([rotating(out)])
    put(again, [23])
    assert again.rotating.rows_until_now() == 24
    put(again, range(24, 45))
    again.rotate_if_due()
    put(again, [45])
    assert again.rotating.rows_until_now() == 46
    again.complete()
    assert again.rotating.rows_until_now() == 46
    assert RecordingStore(RECORDING, spool, NONCE).rotating.rows_until_now() == 46


def test_rows_of_a_repeated_sweep_count_once_in_the_part_list_and_for_the_head(spool: Path, out: Path) -> None:
    for life in range(3):
        one = RecordingStore(RECORDING, spool, NONCE)
        one.set_files([rotating(out)])
        repeated = chunks(range(20))
        one.begin(1, {chunk.chunk_id for chunk in repeated})
        put(one, range(20))
        assert one.rotating.rows_until_now() == 20, f"life {life}"
        one.rest()
    one.rotate_if_due()
    assert [part.rows for part in closed_parts(str(out))] == [20]
    assert one.rotating.rows_until_now() == 20
    finish(one)


def test_a_part_without_rows_does_not_end(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    one.set_files([rotating(out, episodes=1)])
    one.rotate_if_due()
    put(one, [0])
    one.rotate_if_due()
    finish(one)
    assert contents(out) == [[0]]


def test_numbers_go_on_after_those_that_lie_there(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    out.with_suffix(".0007.rrd").write_bytes(b"another run's")
    one.rotate_if_due()
    put(one, [20])
    finish(one)
    assert numbers_in(out.with_suffix(".0008.rrd")) == [20]
    assert out.with_suffix(".0007.rrd").read_bytes() == b"another run's"


def test_a_part_of_another_run_that_took_the_same_number_stays(
    spool: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Both runs looked for a free number at once."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    other = out.with_suffix(".0002.rrd")

    def find_before_the_other_writes(path: str) -> Iterator[tuple[int, str]]:
        found = next(part_paths(path))
        other.write_bytes(b"another run's")
        yield found

    monkeypatch.setattr("rerun_mp.collector.store.rotating.part_paths", find_before_the_other_writes)
    one.rotate_if_due()
    put(one, [20])
    finish(one)
    assert other.read_bytes() == b"another run's"
    assert numbers_in(Path(closed_parts(str(out))[-1].path)) == [20]
    assert "another program has taken" in capfd.readouterr().err


def test_a_part_that_was_moved_away_costs_neither_rows_nor_the_next_part(spool: Path, out: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    one.append([start_time_chunk(RECORDING, 7)])
    put(one, range(20))
    one.rotate_if_due()
    os.rename(out.with_suffix(".0001.rrd"), out.with_name("a-moved.rrd"))
    put(one, [20])
    assert numbers_read(one, since=21) == [20]
    finish(one)
    assert start_time_in(out.with_suffix(".0002.rrd")) == 7
    assert contents(out) == [list(range(20)), [20]]


def test_a_removed_part_is_not_taken_for_the_present_one_that_got_its_inode(spool: Path, out: Path) -> None:
    """The kernel gives the inode of a removed file to a new one. The journal still names the removed part."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out)])
    put(one, range(20))
    one.rotate_if_due()
    put(one, [20])
    out.with_suffix(".0001.rrd").unlink()
    (journal,) = spool.glob("*/journal.json")
    raw = json.loads(journal.read_text())
    status = out.with_suffix(".0002.rrd").stat()
    for part in raw["parts"]:
        if part["purpose"] == "retired":
            part["inode"] = [status.st_dev, status.st_ino]
    journal.write_text(json.dumps(raw))
    again = RecordingStore(RECORDING, spool, NONCE)
    put(again, [21])
    finish(again)
    assert [path.name for path in out.parent.glob("*.rrd")] == ["out.0002.rrd"]
    assert numbers_in(out.with_suffix(".0002.rrd")) == [20, 21]
