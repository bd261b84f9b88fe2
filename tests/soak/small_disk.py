"""A small disk that becomes full and has room again: a file system in memory, in a mount namespace of its own.

As a program: `small_disk.py DIRECTORY SIZE PROGRAM ARGUMENTS...` runs a Python program on such a disk. The disk goes
away with the last process in the namespace.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

__all__ = ["SmallDisk", "on_small_disk"]

INSIDE = "--inside"
FILLER = ".filler"


class SmallDisk:
    """The disk, seen from a process in the namespace."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._filler = directory / FILLER

    @property
    def is_full(self) -> bool:
        """Whether it has been filled."""
        return self._filler.exists()

    def fill(self, free_bytes: int) -> None:
        """Leave so many bytes free."""
        with self._filler.open("wb") as file:
            while (size := self._free_bytes() - free_bytes) > 0:
                with contextlib.suppress(OSError):  # a process that logs has taken some of it meanwhile
                    os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END) + size)
                    break

    def _free_bytes(self) -> int:
        disk = os.statvfs(self.directory)
        return disk.f_bavail * disk.f_frsize

    def make_room(self) -> None:
        """Undo `fill`."""
        self._filler.unlink(missing_ok=True)


def on_small_disk(directory: Path, size: str, *program: str | Path) -> list[str]:
    """Return the command that runs a Python program with a disk of this size at `directory`."""
    return ["unshare", "-rm", sys.executable, __file__, INSIDE, str(directory), size, *map(str, program)]


def _main(arguments: list[str]) -> None:
    directory, size, *program = arguments
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", directory], check=True)
    os.execv(sys.executable, [sys.executable, "-X", "faulthandler", *program])


if __name__ == "__main__":
    assert sys.argv[1] == INSIDE
    _main(sys.argv[2:])
