"""The oldest parts of a file that rotates are removed, and counted; everything else stays and stays small."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.collector.drain.own_chunks import start_time_chunk
from rerun_mp.collector.store import retention
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.retention import Retention
from rerun_mp.session.config import SinkSpec
from rerun_mp.session.rotation import ClosedPart, PartList, Rotation, closed_parts, part_list_path, read_part_list
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import file_status, numbers_in, put, step_in
from tests.harness.recordings import verify

ROWS = 10


def rotating(out: Path, rotation: Rotation) -> SinkSpec:
    return SinkSpec("file", str(out.with_suffix(".0001.rrd")), wanted=str(out), rotation=rotation.values)


def written(out: Path, number: int, size: int = 5000, closed_ns: int = 0) -> ClosedPart:
    """Return a part of this size, of ten rows."""
    path = out.with_suffix(f".{number:04}.rrd")
    path.write_bytes(bytes(size))
    return ClosedPart(str(path), number, "app", "recording", "host", "session", ROWS, size, closed_ns)


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.glob("*.rrd"))


@pytest.mark.parametrize("parts", [80, pytest.param(2000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])])
def test_a_long_run_keeps_its_last_parts_and_stays_small(parts: int, spool: Path, out: Path) -> None:
    """2,000 parts are a week with one each five minutes; 10 stay."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out, Rotation(bytes=4096, keep_parts=10))])
    for part in range(parts):
        put(one, range(ROWS * part, ROWS * (part + 1)))
        one.rotate_if_due()
        if part % 40 == 39:
            assert len(names(out)) == 11
            assert sum(path.stat().st_size for path in spool.rglob("*") if path.is_file()) < 200_000
            assert os.path.getsize(part_list_path(str(out))) < 4000
            assert file_status(one).removed_rows == ROWS * (part - 9)
    finish(one)
    kept = closed_parts(str(out))
    assert [whole.path for whole in kept] == [str(out.parent / name) for name in names(out)]
    assert [number for whole in kept for number in numbers_in(Path(whole.path))] == list(
        range(ROWS * (parts - 10), ROWS * parts)
    )
    for whole in kept:
        verify(whole.path)


def test_size_and_age_bound_the_parts_too(out: Path) -> None:
    kept = Retention(str(out))
    for number in (1, 2, 3):
        kept.add(written(out, number))
    kept.apply(Rotation(keep_bytes=10_000))
    assert names(out) == ["out.0002.rrd", "out.0003.rrd"]
    kept.add(written(out, 4, closed_ns=1 << 62))
    kept.apply(Rotation(keep_seconds=3600))
    assert names(out) == ["out.0004.rrd"]
    assert read_part_list(str(out))[1:3] == (3, 3 * ROWS)


def test_the_list_names_each_part_once_and_is_read_again_only_if_another_run_changed_it(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each part of a long run would cost as much as all parts before it."""
    reads: list[str] = []

    def read(path: str) -> PartList:
        reads.append(path)
        return read_part_list(path)

    monkeypatch.setattr(retention, "read_part_list", read)
    one, other = Retention(str(out)), Retention(str(out))
    parts = [written(out, number) for number in range(1, 6)]
    for part in parts[:4]:
        one.add(part)
    assert len(reads) == 3
    other.add(parts[3])
    other.add(parts[4])
    assert len(reads) == 4
    one.add(parts[4])
    assert len(reads) == 5
    assert one.parts == other.parts == closed_parts(str(out)) == parts


def test_a_collector_killed_before_it_removed_a_file_counts_it_once(out: Path) -> None:
    kept = Retention(str(out))
    parts = [written(out, number) for number in (1, 2)]
    for part in parts:
        kept.add(part)
    kept._unlink = lambda _: None  # type: ignore[method-assign, assignment] # as if it died here
    kept.apply(Rotation(keep_parts=1))
    assert names(out) == ["out.0001.rrd", "out.0002.rrd"]
    after = Retention(str(out))
    assert names(out) == ["out.0002.rrd"]
    after.apply(Rotation(keep_parts=1))
    assert after.removed_rows == ROWS


def test_a_part_that_the_user_has_moved_or_replaced_is_neither_removed_nor_counted(out: Path) -> None:
    kept = Retention(str(out))
    for number in (1, 2, 3):
        kept.add(written(out, number))
    os.rename(out.with_suffix(".0001.rrd"), out.with_name("moved.rrd"))
    out.with_suffix(".0002.rrd").write_bytes(b"another program's")
    kept.apply(Rotation(keep_parts=1))
    assert names(out) == ["moved.rrd", "out.0002.rrd", "out.0003.rrd"]
    assert kept.removed_rows == 0


def test_a_viewer_that_comes_late_gets_the_static_data_of_removed_parts(spool: Path, out: Path) -> None:
    """Also from the collector's next life, which does not know the removed parts."""
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([rotating(out, Rotation(bytes=4096, keep_parts=1))])
    one.append([start_time_chunk(RECORDING, 7)])
    for part in range(4):
        put(one, range(20 * part, 20 * (part + 1)))
        one.rotate_if_due()
    put(one, [80])
    for store in (one, RecordingStore(RECORDING, spool, NONCE)):
        properties, *others = store.chunks.read()
        assert properties.is_carried
        assert b"__properties" in properties.payload
        assert [step_in(chunk.payload) for chunk in others] == list(range(60, 81))
        assert not any(chunk.is_carried for chunk in others)
    assert len(list(one.chunks.read(since=one.chunks.end - 5))) == 5
    finish(one)
