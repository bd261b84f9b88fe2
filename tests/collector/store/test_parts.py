"""A part is known by its inode and by its beginning, wherever its file lies."""

from __future__ import annotations

import os
from pathlib import Path

from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.part_writer import open_part
from rerun_mp.collector.store.parts import Part
from tests.collector.made_frames import RECORDING
from tests.collector.store.made_stores import chunks


def written_part(path: Path, number: int) -> Part:
    part = Part(0, str(path), "file")
    writer = open_part(part, Journal(path.with_name("journal.json"), "", RECORDING), None)
    for chunk in chunks(range(number)):
        writer.send(chunk)
    writer.close(10.0)
    part.chunks, part.is_ended = number, True
    return part


def test_a_part_is_not_read_or_removed_when_another_file_lies_at_its_path(tmp_path: Path) -> None:
    part = written_part(tmp_path / "part.rrd", 3)
    assert part.is_whole(with_footer=True)
    assert [ordinal for ordinal, _ in part.read(since=1)] == [1, 2]
    os.rename(part.path, tmp_path / "kept.rrd")
    Path(part.path).write_text("another")
    assert (part.exists(), part.size(), list(part.read())) == (False, 0, [])
    part.unlink()
    assert Path(part.path).read_text() == "another"


def test_a_file_with_the_inode_of_a_part_and_another_beginning_is_another(tmp_path: Path) -> None:
    part = written_part(tmp_path / "part.rrd", 1)
    assert not part.is_replaced()
    with open(part.path, "r+b") as file:
        file.seek(part.prelude // 2)
        file.write(b"another recording")
    assert part.exists()
    assert part.is_replaced()


def test_repeated_chunks_that_were_left_out_make_a_reader_begin_earlier(tmp_path: Path) -> None:
    part = written_part(tmp_path / "part.rrd", 3)
    part.first, part.chunks, part.repeated = 10, 5, 2
    assert part.stop == 15
    assert [ordinal for ordinal, _ in part.read(since=13)] == [13, 14]
    assert [ordinal for ordinal, _ in part.read()] == [12, 13, 14]
