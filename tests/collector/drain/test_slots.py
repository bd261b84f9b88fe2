"""Reading one slot: damage is refused before anything beyond the slot is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from rerun_mp.collector.drain.slots import SlotReader
from rerun_mp.encoding.frames import FILE_REFERENCE, LARGE_FILE_PREFIX, FrameKind, RowsFrame
from rerun_mp.errors import CorruptionError
from rerun_mp.shm.layout import Kind, Line, SlotState, pack_owner
from rerun_mp.shm.segment import Segment
from tests.collector.drain.rows import SLOT_BYTES, log
from tests.collector.made_frames import scalars_frame

OWNER = pack_owner(3, 5) | SlotState.SEALED


def kinds(made: Segment) -> list[int]:
    """Return the kind of each slot."""
    ring = made.ring
    return [ring.words[ring.geometry.line_word(slot) + Line.KIND] for slot in range(ring.geometry.slots)]


def test_a_count_beyond_the_slot_is_refused(made: Segment) -> None:
    with pytest.raises(CorruptionError, match=f"claims {SLOT_BYTES + 8} bytes"):
        SlotReader(made.ring, made.spool_directory).read_frames(0, 0, 0, SLOT_BYTES + 8)


def test_a_reader_that_begins_in_the_middle_of_a_slot_knows_the_shapes_before_it(made: Segment) -> None:
    """As the collector does that follows a dead one."""
    log(made, 2)
    slot = kinds(made).index(Kind.FRAMES)
    stop = made.ring.words[made.ring.count_word(slot)]
    first = SlotReader(made.ring, made.spool_directory)
    frames, end, error = first.read_frames(slot, 0, 0, stop)
    assert (len(frames), frames[0].rows, end, error) == (1, 2, stop, None)
    assert first.count_rows_before(slot, stop) == 2
    assert first.count_rows_before(slot, SLOT_BYTES + 8) == 0
    follower = SlotReader(made.ring, made.spool_directory)
    assert follower.read_frames(slot, 0, stop, stop) == ([], stop, None)


def test_a_chain_is_refused_if_one_of_its_parts_has_another_epoch(made: Segment) -> None:
    log(made, 500)
    head = kinds(made).index(Kind.HEAD)
    reader, state = SlotReader(made.ring, made.spool_directory), made.ring.states[head]
    frames, error = reader.read_chain(head, state)
    assert (frames[0].rows, error) == (500, None)
    (part, epoch), _ = reader.chain_parts(head)
    assert reader.is_part(part, epoch, state)
    made.ring.words[made.ring.geometry.line_word(part) + Line.EPOCH] += 1
    with pytest.raises(CorruptionError, match=f"slot {part} is no part of the chain that begins in slot {head}"):
        reader.read_chain(head, state)


def reference(name: str, size: int) -> RowsFrame:
    """Return a frame that names a spool file."""
    body = memoryview(FILE_REFERENCE.pack(FrameKind.ROWS, size) + name.encode())
    return dataclasses.replace(scalars_frame([1.0], row_id=(7, 0)), kind=FrameKind.FILE, body=body)


@pytest.mark.parametrize(
    ("name", "is_read"),
    [
        (f"{LARGE_FILE_PREFIX}3-5-0", True),
        (f"{LARGE_FILE_PREFIX}3-6-0", False),
        (f"{LARGE_FILE_PREFIX}4-5-0", False),
        (f"{LARGE_FILE_PREFIX}3-5-/../{LARGE_FILE_PREFIX}3-5-0", False),
    ],
)
def test_only_files_of_the_slots_owner_are_read(name: str, is_read: bool, made: Segment, tmp_path: Path) -> None:
    """A frame that names another file has no body, so it counts as damaged, and the file is not removed."""
    for own in (f"{LARGE_FILE_PREFIX}3-5-0", f"{LARGE_FILE_PREFIX}3-6-0", f"{LARGE_FILE_PREFIX}4-5-0"):
        (tmp_path / own).write_bytes(b"rows")
    files: list[str] = []
    frame = SlotReader(made.ring, str(tmp_path)).read_file(reference(name, 4), OWNER, files)
    assert bytes(frame.body) == (b"rows" if is_read else b"")
    assert files == ([str(tmp_path / name)] if is_read else [])


def test_a_file_of_another_size_or_kind_gives_no_rows(made: Segment, tmp_path: Path) -> None:
    name = f"{LARGE_FILE_PREFIX}3-5-0"
    reader = SlotReader(made.ring, str(tmp_path))
    (tmp_path / "target").write_bytes(b"rows")
    (tmp_path / name).symlink_to(tmp_path / "target")
    assert bytes(reader.read_file(reference(name, 4), OWNER, []).body) == b""
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(b"more rows")
    assert bytes(reader.read_file(reference(name, 4), OWNER, []).body) == b""
