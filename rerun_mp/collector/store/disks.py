"""Questions of the store about a path and its disk. Any thread may call."""

from __future__ import annotations

import os

from rerun_mp.session.directories import temporary_directory

__all__ = ["has_room", "is_discarded", "is_special"]

SPARE_BYTES = 8 << 20
"""Bytes left free on every disk: rerun's writer does not survive a full disk, and a footer must still fit."""


def is_special(path: str) -> bool:
    """Whether a device, a pipe or a directory lies at `path`."""
    return os.path.exists(path) and not os.path.isfile(path)


def is_discarded(path: str) -> bool:
    """Whether `path` lay in a temporary directory that is gone: the user wants no file there any more."""
    directory = os.path.dirname(path)
    inside = os.path.commonpath([directory, temporary_directory()]) == temporary_directory()
    return inside and not os.path.lexists(directory)


def has_room(path: str, num_bytes: int) -> bool:
    """Whether the disk below `path` takes `num_bytes` more and keeps `SPARE_BYTES` free."""
    if is_special(path):
        return True
    try:
        disk = os.statvfs(os.path.dirname(path))
    except OSError:
        return True  # opening or flushing the file reports the problem
    return disk.f_bavail * disk.f_frsize >= num_bytes + SPARE_BYTES
