"""No row is lost when somebody removes the file, or its directory, while it is written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rerun_mp.collector.drain.own_chunks import start_time_chunk
from rerun_mp.collector.store import appending, disks, part_writer, rerun_sdk, sections
from rerun_mp.collector.store.clock import SYSTEM_CLOCK, Clock
from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.removed_files import RemovedFiles
from rerun_mp.session.config import Blueprint, SinkSpec
from rerun_mp.session.rotation import Rotation, part_path
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_clocks import HandedClock
from tests.collector.store.made_stores import (
    chunks,
    dropped_rows,
    file_spec,
    file_status,
    numbers_in,
    numbers_read,
    put,
)
from tests.harness.recordings import rows_of, verify

REMOVALS: dict[str, Callable[[Path], None]] = {"file": Path.unlink, "directory": lambda out: shutil.rmtree(out.parent)}


@pytest.fixture
def kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a path in a directory of its own, which is no temporary one."""
    monkeypatch.setattr(disks, "temporary_directory", lambda: str(tmp_path / "tmp"))
    directory = tmp_path / "runs"
    directory.mkdir()
    return directory / "out.rrd"


def rotating(out: Path) -> SinkSpec:
    return file_spec(Path(part_path(str(out), 1)), wanted=str(out), rotation=Rotation(bytes=1 << 20).values)


def begin(spool: Path, out: Path, clock: HandedClock | None = None) -> RecordingStore:
    store = RecordingStore(RECORDING, spool, NONCE, clock=clock or HandedClock())
    store.set_files([file_spec(out)])
    return store


def begin_with_statics(spool: Path, spec: SinkSpec, clock: Clock = SYSTEM_CLOCK) -> RecordingStore:
    """Begin a store with static data and one row in its file."""
    store = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    store.set_files([spec])
    store.append([start_time_chunk(RECORDING, 7)])
    put(store, [0])
    return store


def check_part(out: Path, number: int, numbers: list[int]) -> None:
    """Check that a part is complete, and has the static data and these rows."""
    path = Path(part_path(str(out), number))
    verify(path)
    assert numbers_in(path) == numbers
    assert [row.entity_path for row in rows_of(path, properties=True)][:1] == ["__properties"]


def look(store: RecordingStore, clock: HandedClock, times: int = 2) -> None:
    """Let the store look for removed files that often."""
    for _ in range(times):
        clock.go(appending.LOOK_SECS)
        store.reports()


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_removed_file_is_there_again_with_all_rows(
    removal: str, spool: Path, kept_out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3))
    REMOVALS[removal](kept_out)
    put(one, range(3, 5))
    look(one, clock)
    assert kept_out.exists()
    assert (file_status(one).state, file_status(one).failure) == ("writing", None)
    put(one, [5])
    assert numbers_read(one) == list(range(6))
    finish(one)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(6))
    assert os.listdir(kept_out.parent) == [kept_out.name]
    assert capfd.readouterr().err.count("was removed") == 1


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_file_that_is_removed_just_before_the_end_is_complete(removal: str, spool: Path, kept_out: Path) -> None:
    one = begin(spool, kept_out)
    put(one, range(3))
    one.append(chunks([3]))
    REMOVALS[removal](kept_out)
    finish(one)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(4))


def test_a_file_that_is_removed_again_and_again_keeps_all_rows_in_sections(
    spool: Path, kept_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "MAX_CHUNKS", 7)
    one = begin(spool, kept_out)
    for number in range(40):
        put(one, [number])
        if number % 5 == 0:
            REMOVALS["file" if number % 2 else "directory"](kept_out)
            one._appending._removed_files.bring_back()
    finish(one)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(40))


@pytest.mark.parametrize("removal", REMOVALS)
def test_a_snapshot_has_the_rows_of_a_file_that_was_removed_just_before(
    removal: str, spool: Path, kept_out: Path
) -> None:
    """Before the store has looked for it. The snapshot had none of them."""
    one = begin(spool, kept_out)
    put(one, range(3))
    REMOVALS[removal](kept_out)
    sources = one.rotating.sources()
    assert sources is not None
    with sources:
        assert len([chunk for file in sources.files for chunk in file.read()]) == 3
    finish(one)
    assert numbers_in(kept_out) == list(range(3))


def test_nothing_is_put_into_a_directory_that_the_program_is_removing(spool: Path, kept_out: Path) -> None:
    """`shutil.rmtree` removes the files first. A file that came back at once would let it fail."""
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3))
    look(one, clock)
    kept_out.unlink()
    look(one, clock, 1)
    kept_out.parent.rmdir()
    look(one, clock, 1)
    assert kept_out.exists()
    finish(one)
    assert numbers_in(kept_out) == list(range(3))


def test_nothing_is_put_into_a_spool_that_the_program_is_removing(spool: Path, kept_out: Path) -> None:
    """The journal comes back at the look after the one that misses it."""
    clock = HandedClock()
    store = begin(spool, kept_out, clock)
    put(store, range(10))
    (journal,) = spool.rglob("journal.json")
    look(store, clock)
    for path in journal.parent.iterdir():
        path.unlink()
    look(store, clock, 1)
    journal.parent.rmdir()
    look(store, clock, 1)
    assert journal.exists()
    finish(store)


@pytest.mark.parametrize("is_seen", [True, False])
def test_a_file_that_another_one_has_replaced_goes_on_beside_it(is_seen: bool, spool: Path, kept_out: Path) -> None:
    """Its rows were lost without a word, and those that came later, too."""
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3))
    (kept_out.parent / "another").write_text("another")
    os.replace(kept_out.parent / "another", kept_out)
    if is_seen:
        look(one, clock)
        (beside,) = (one for one in kept_out.parent.iterdir() if one != kept_out)
        assert file_status(one).target == str(beside)
    put(one, [3])
    finish(one)
    assert kept_out.read_text() == "another"
    (beside,) = (one for one in kept_out.parent.iterdir() if one != kept_out)
    verify(beside)
    assert numbers_in(beside) == list(range(4))


def test_rows_that_have_no_file_yet_survive_the_removal_of_the_spool(spool: Path, kept_out: Path) -> None:
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    put(one, range(3))
    shutil.rmtree(spool)
    put(one, [3])
    look(one, clock)
    put(one, [4])
    one.set_files([file_spec(kept_out)])
    finish(one)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(5))


def test_rows_of_a_removed_spool_that_cannot_be_made_anew_are_counted(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    put(one, range(3), rows=2)
    shutil.rmtree(spool)
    monkeypatch.setattr(RemovedFiles, "_copy", no_copy)
    look(one, clock)
    assert dropped_rows(one) == 6


def test_the_next_life_goes_on_with_the_file_after_the_removal_of_the_spool(spool: Path, kept_out: Path) -> None:
    """Without the journal it would take the file for another program's, and write beside it."""
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3))
    shutil.rmtree(spool)
    look(one, clock)
    again = begin(spool, kept_out)
    put(again, [3])
    finish(again)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(4))
    assert os.listdir(kept_out.parent) == [kept_out.name]


def test_a_removed_journal_of_a_store_without_parts_is_there_again(spool: Path, kept_out: Path) -> None:
    """It says what the store has given up, or that its file is complete."""
    clock = HandedClock()
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    look(one, clock)
    assert not list(spool.rglob("journal.json"))
    one.set_blueprint(Blueprint("", make_active=True, make_default=False))
    (journal,) = spool.rglob("journal.json")
    shutil.rmtree(spool)
    look(one, clock)
    assert journal.exists()
    assert RecordingStore(RECORDING, spool, NONCE, clock=clock).blueprint == one.blueprint


@pytest.mark.parametrize("removes", [False, True])
def test_static_data_is_in_a_part_that_is_merged_after_the_removal_of_the_spool(
    removes: bool, spool: Path, kept_out: Path
) -> None:
    spec, clock = rotating(kept_out), HandedClock()
    one = begin_with_statics(spool, spec, clock)
    one.set_files([replace(spec, episodes=1)])
    one.rotate_if_due()
    put(one, [1])
    one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    put(one, [2])
    if removes:
        shutil.rmtree(spool)
        look(one, clock)
    one.set_files([replace(spec, episodes=1, checkpoints=1)])
    put(one, [3])
    finish(one)
    check_part(kept_out, 2, [1, 2, 3])


@pytest.mark.parametrize("moment", ["a part is completed", "the next one begins"])
def test_static_data_is_in_the_next_part_if_the_spool_is_removed_while(
    moment: str, spool: Path, kept_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker died of it, or the part lacked them."""
    spec = rotating(kept_out)
    one = begin_with_statics(spool, spec)
    complete = one.rotating._complete

    def complete_and_lose_the_spool() -> None:
        complete()
        shutil.rmtree(spool)

    def lose_the_spool(path: str) -> Iterator[rerun_sdk.Chunk]:
        shutil.rmtree(spool)
        return rerun_sdk.chunks_in(path)

    with monkeypatch.context() as patch:
        if moment == "the next one begins":
            patch.setattr(part_writer, "chunks_in", lose_the_spool)
        else:
            patch.setattr(one.rotating, "_complete", complete_and_lose_the_spool)
        one.set_files([replace(spec, episodes=1)])
        one.rotate_if_due()
    put(one, [1])
    finish(one)
    check_part(kept_out, 2, [1])


@pytest.mark.parametrize("next_life", [False, True])
def test_static_data_is_in_each_part_also_after_the_removal_of_the_spool(
    next_life: bool, spool: Path, kept_out: Path
) -> None:
    """The worker died of the missing file of static data, and the rest of the run had no parts."""
    spec, clock = rotating(kept_out), HandedClock()
    one = begin_with_statics(spool, spec, clock)
    one.set_files([replace(spec, episodes=1)])
    one.rotate_if_due()
    put(one, [1])
    shutil.rmtree(spool)
    look(one, clock)
    if next_life:
        one = RecordingStore(RECORDING, spool, NONCE, clock=clock)
    one.set_files([replace(spec, episodes=2)])
    one.rotate_if_due()
    put(one, [2])
    finish(one)
    for number in (1, 2, 3):
        check_part(kept_out, number, [number - 1])


def no_copy(_: object, __: object, ___: object) -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def test_rows_of_a_removed_file_go_to_the_spool_if_its_directory_cannot_be_made(spool: Path, kept_out: Path) -> None:
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3))
    shutil.rmtree(kept_out.parent)
    kept_out.parent.write_text("in the way")
    look(one, clock)
    failure = file_status(one).failure
    assert failure is not None
    assert f"{kept_out} was removed" in failure
    assert str(one.directory) in failure
    put(one, [3])
    assert file_status(one).state == "diverted"
    assert numbers_read(one) == list(range(4))
    assert dropped_rows(one) == 0
    kept_out.parent.unlink()
    kept_out.parent.mkdir()
    finish(one)
    verify(kept_out)
    assert numbers_in(kept_out) == list(range(4))


def test_rows_of_a_removed_file_that_can_be_kept_nowhere_are_counted(
    spool: Path, kept_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = HandedClock()
    one = begin(spool, kept_out, clock)
    put(one, range(3), rows=2)
    kept_out.unlink()
    monkeypatch.setattr(RemovedFiles, "_copy", no_copy)
    look(one, clock)
    assert dropped_rows(one) == 6
    assert "rows are lost" in str(file_status(one).failure)


@pytest.mark.parametrize("removal", REMOVALS)
def test_the_open_part_of_a_rotating_file_is_there_again_and_the_next_ones_follow(
    removal: str, spool: Path, kept_out: Path
) -> None:
    """Parts that were complete belong to the user, who may remove them."""
    one = RecordingStore(RECORDING, spool, NONCE)
    spec = rotating(kept_out)
    one.set_files([spec])
    put(one, range(20))
    one.set_files([replace(spec, episodes=1)])
    one.rotate_if_due()
    put(one, [20])
    paths = [Path(part_path(str(kept_out), number)) for number in (2, 3)]
    REMOVALS[removal](paths[0])
    put(one, [21])
    one.set_files([replace(spec, episodes=2)])
    one.rotate_if_due()
    put(one, [22])
    finish(one)
    for path in paths:
        verify(path)
    assert [numbers_in(path) for path in paths] == [[20, 21], [22]]
