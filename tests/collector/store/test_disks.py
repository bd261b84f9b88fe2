"""The store leaves room on a disk, and knows a device or a pipe from a file."""

from __future__ import annotations

import os
from pathlib import Path

from rerun_mp.collector.store.disks import has_room, is_special


def test_a_disk_has_room_for_less_than_its_free_space_only(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    path = str(tmp_path / "file")
    assert has_room(path, 0)
    assert not has_room(path, disk.f_blocks * disk.f_frsize)


def test_devices_pipes_and_missing_directories_have_room(tmp_path: Path) -> None:
    """Writing to them reports what is wrong."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/full", str(pipe), str(tmp_path / "missing" / "file")):
        assert has_room(path, 1 << 60)


def test_only_what_exists_and_is_no_regular_file_is_special(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    assert [is_special(str(path)) for path in (file, tmp_path / "none", pipe, tmp_path)] == [False, False, True, True]
