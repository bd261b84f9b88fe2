"""A store that adds to a file keeps the file's other recordings, whatever becomes of the store."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rerun_mp.collector.store.recording_store import RecordingStore
from rerun_mp.collector.store.rerun_sinks import open_file
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_stores import Store, stores_in
from rerun_mp.errors import ResourceError
from tests.collector.endings import finish
from tests.collector.made_frames import NONCE, RECORDING
from tests.collector.store.made_stores import FLUSH_SECS, chunks, file_spec, nothing_left, numbers_read, put
from tests.harness.recordings import rows_of, verify

OTHER = RecordingKey(RECORDING.application_id, "other")


@pytest.fixture
def former(out: Path) -> Path:
    """Write a file with the numbers 0 to 4 in another recording."""
    writer = open_file(out, OTHER)
    for chunk in chunks(range(5)):
        writer.send(chunk)
    writer.close(FLUSH_SECS)
    return out


def numbers(path: Path, recording: RecordingKey) -> list[int]:
    rows = rows_of(path, recording_id=recording.recording_id)
    return sorted(int.from_bytes(row.row_id[:8], "big") - 1000 for row in rows)


def test_until_a_file_is_complete_the_former_one_lies_at_its_path(spool: Path, former: Path) -> None:
    one, before = RecordingStore(RECORDING, spool, NONCE), former.read_bytes()
    one.set_files([file_spec(former, mode="append")])
    put(one, range(10, 15))
    assert former.read_bytes() == before
    assert numbers_read(one) == list(range(10, 15))
    finish(one)
    verify(former)
    assert numbers(former, OTHER) == list(range(5))
    assert numbers(former, RECORDING) == list(range(10, 15))
    assert nothing_left(spool, former)


def test_a_file_is_added_to_at_each_checkpoint_and_can_still_be_read_by_live_sinks(spool: Path, former: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(former, mode="append")])
    put(one, [10, 11])
    for checkpoints in (1, 2):
        one.set_files([file_spec(former, mode="append", checkpoints=checkpoints)])
        verify(former)
        assert numbers(former, OTHER) == list(range(5))
        assert numbers(former, RECORDING) == list(range(10, 11 + checkpoints))
        put(one, [11 + checkpoints])
        assert numbers_read(one) == list(range(10, 12 + checkpoints))
    finish(one)
    assert numbers(former, RECORDING) == [10, 11, 12, 13]
    assert numbers_read(one) == [10, 11, 12, 13]


def test_the_recording_that_goes_on_has_the_id_that_the_file_gives_it(spool: Path, former: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    put(one, [9])
    one.set_files([file_spec(former, mode="resume", recording_id="other")])
    put(one, [10, 11])
    assert one.chunks.written == OTHER
    finish(one)
    verify(former)
    assert stores_in(str(former)) == [Store(False, *OTHER)]
    assert numbers(former, OTHER) == [0, 1, 2, 3, 4, 9, 10, 11]
    assert nothing_left(spool, former)


def test_a_store_without_rows_leaves_the_file_alone(spool: Path, former: Path) -> None:
    before = former.read_bytes()
    for mode in ("append", "resume"):
        one = RecordingStore(RECORDING, spool, NONCE)
        one.set_files([file_spec(former, mode=mode)])
        finish(one)
        assert former.read_bytes() == before


def test_a_file_that_was_replaced_meanwhile_is_left_alone(spool: Path, former: Path) -> None:
    one = RecordingStore(RECORDING, spool, NONCE)
    one.set_files([file_spec(former, mode="append")])
    put(one, [10])
    other = former.with_name("other.rrd")
    other.write_bytes(b"of another program")
    other.replace(former)
    finish(one)
    assert former.read_bytes() == b"of another program"
    (aside,) = former.parent.glob("*recovered*")
    assert numbers(aside, RECORDING) == [10]


def test_without_room_the_former_file_stays_and_the_next_attempt_adds_to_it(
    spool: Path, former: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, before = RecordingStore(RECORDING, spool, NONCE), former.read_bytes()
    one.set_files([file_spec(former, mode="append")])
    put(one, [10])
    with monkeypatch.context() as patched:

        def is_full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr("os.sendfile", is_full)
        with pytest.raises(ResourceError, match="could not be completed"):
            one.complete()
    assert former.read_bytes() == before
    finish(one)
    assert numbers(former, OTHER) == list(range(5))
    assert numbers(former, RECORDING) == [10]
