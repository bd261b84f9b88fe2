"""The origin tells whether a missing segment proves anything; the life lock tells whether a process takes part."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.session import directories, origin
from rerun_mp.session.origin import Origin


@pytest.fixture
def spool(tmp_path: Path) -> str:
    path = tmp_path / "rerun_mp" / "session"
    directories.ensure_private(str(path))
    return str(path)


HERE = Origin("boot", (1, 2), "")


@pytest.mark.parametrize(
    ("other", "proves"),
    [
        (Origin("boot", (1, 2), ""), True),
        (Origin("boot", (9, 2), ""), False),
        (Origin("earlier boot", (9, 2), ""), True),
        (Origin("", (1, 2), ""), False),
    ],
    ids=["the same /dev/shm", "another /dev/shm", "before the last start", "a boot that is not known"],
)
def test_a_missing_segment_proves_an_end_only_where_it_would_be(other: Origin, *, proves: bool) -> None:
    assert other.proves_end(HERE) == proves


def test_both_directories_name_the_origin(tmp_path: Path) -> None:
    places = [str(tmp_path / name / "rerun_mp" / "session") for name in ("runtime", "spool")]
    life = origin.begin(*places)
    assert life is not None
    for place in places:
        assert Origin.read(place) == Origin.here(places[1])
    assert Origin.read(str(tmp_path / "missing"), places[0]) == Origin.here(places[1])
    Path(places[0], origin.ORIGIN_NAME).write_text("{}")
    assert Origin.read(places[0]) is None
    life.release()


def test_a_share_in_the_life_lock_proves_life_and_a_probe_does_not_take_it(spool: str) -> None:
    assert not origin.is_alive(spool)
    shares = [origin.hold_life(spool), origin.hold_life(spool)]
    for share in shares:
        assert origin.is_alive(spool)
        assert origin.has_participants(spool)
        assert share is not None
        share.release()
    assert not origin.is_alive(spool)


def test_a_worker_keeps_a_session_alive_and_is_no_participant(spool: str) -> None:
    worker = directories.hold(spool)
    assert worker is not None
    assert origin.is_alive(spool)
    assert not origin.has_participants(spool)
    os.close(worker)
    assert not origin.is_alive(spool)


def test_a_forked_child_keeps_its_parents_share(spool: str) -> None:
    share = origin.hold_life(spool)
    assert share is not None
    end, begun = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.write(begun[1], b"x")
        os.read(end[0], 1)
        os._exit(0)
    os.read(begun[0], 1)
    share.release()
    assert origin.is_alive(spool)
    os.write(end[1], b"x")
    os.waitpid(child, 0)
    assert not origin.is_alive(spool)
    for descriptor in (*end, *begun):
        os.close(descriptor)


def test_without_a_directory_there_is_no_lock(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert origin.hold_life(missing) is None
    assert not origin.is_alive(missing)
