"""Ships the closed parts of a directory until the target has them, and removes them here.

It also tells the target which nodes have ended.

A part that the target has acknowledged is durable there. Several shippers may run over one directory, in any number of
processes: each part is locked while it is shipped. Belongs to one thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rerun_mp.errors import ResourceError
from rerun_mp.shipping.parts import PartName, parts_below, read_end, read_target, remove_if_empty, unreported_ends
from rerun_mp.shipping.targets import PartRefusedError, open_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from rerun_mp.shipping.targets import Target

__all__ = ["PartTotals", "Shipper", "drop_oldest", "unshipped_in"]


class PartTotals(NamedTuple):
    """A number of parts, and their rows and bytes."""

    parts: int
    rows: int
    num_bytes: int


class Shipper:
    """Ships the parts below `root` that go to `target`. With None, each goes where its node's directory says.

    With `takes_all`, it brings the parts that go elsewhere to `target`, too.
    """

    def __init__(self, root: str | Path, token: str, target: str | None = None, *, takes_all: bool = False) -> None:
        self._root = Path(root)
        self._token = token
        self._only = target
        self._takes_all = takes_all
        self._targets: dict[str, Target] = {}
        self.shipped = PartTotals(0, 0, 0)
        """The parts that this shipper has brought to its targets."""
        self.failure: str | None = None
        """Why the last attempt failed; None if it did not."""
        self._kept: set[Path] = set()
        """Parts that are at their target, and that this user cannot remove here."""

    def ship(self, may_go_on: Callable[[], bool] = lambda: True) -> bool:
        """Ship the closed parts, then report which nodes have ended. Returns whether nothing is left.

        A target that takes no part now gets no further one in this call. One that refuses a part gets the next one.
        """
        away: set[str] = set()
        is_all = True
        self.failure = None
        targets: dict[Path, str | None] = {}
        found: list[tuple[PartName | None, Path]] = [*parts_below(self._root)]
        for part, path in found + [(None, path) for path in unreported_ends(self._root)]:
            if path.parent not in targets:
                targets[path.parent] = self._only if self._takes_all else read_target(path.parent) or self._only
            target = targets[path.parent]
            if target is None or (self._only is not None and target != self._only) or path in self._kept:
                continue
            if target in away or not may_go_on():
                is_all = False
                continue
            try:
                if part is None:
                    self._tell_end(path, self._target(target))
                else:
                    is_all &= self._ship(part, path, self._target(target), may_go_on)
            except PartRefusedError as error:
                self.failure, is_all = str(error), False
            except ResourceError as error:
                self.failure = str(error)
                away.add(target)
                is_all = False
            except OSError as error:
                self.failure = f"{path} cannot be read: {error.strerror}"
                is_all = False
        return is_all

    def close(self) -> None:
        """Let go of the targets."""
        for target in self._targets.values():
            target.close()

    def _target(self, name: str) -> Target:
        if name not in self._targets:
            self._targets[name] = open_target(name, self._token)
        return self._targets[name]

    def _tell_end(self, path: Path, target: Target) -> None:
        """Tell the target that the node of this file has ended, and remove the file.

        Raises
        ------
        ResourceError
            If the target is away.
        OSError
            If this user may not read it.
        """
        said = read_end(path.parent)
        if said:
            target.note(path.parents[1].name, path.parent.name, said)
        self._remove(path, target)

    def _remove(self, path: Path, target: Target) -> None:
        """Remove a file that the target has."""
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self.failure = f"{path} is at {target.name}, but cannot be removed here: {error.strerror}"
            self._kept.add(path)
        remove_if_empty(path.parent)

    def _ship(self, part: PartName, path: Path, target: Target, may_go_on: Callable[[], bool]) -> bool:
        """Ship one part, and remove it. Returns False if another process ships it.

        Raises
        ------
        ResourceError
            If the target does not take it now.
        OSError
            If this user may not read it.
        """
        try:
            file = _open(path)
        except FileNotFoundError:
            return True  # another shipper has shipped it
        with file:
            if not _lock(file):
                return False
            if not path.exists():
                return True
            size = os.fstat(file.fileno()).st_size
            target.store(part, path, may_go_on)
            self._remove(path, target)
        self.shipped = PartTotals(self.shipped.parts + 1, self.shipped.rows + part.rows, self.shipped.num_bytes + size)
        return True


def _open(path: Path) -> BinaryIO:
    """Open a part for reading, and for writing if possible: NFS locks only files that are open for writing."""
    try:
        return path.open("r+b")
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return path.open("rb")


def _lock(file: BinaryIO) -> bool:
    """Lock a part until its file is closed. Returns False if another shipper has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # The file system has no locks, as NFS without its lock daemon. Targets accept a part from two shippers.
        return True
    return True


def unshipped_in(root: str | Path, target: str | None = None) -> PartTotals:
    """Return the totals of the closed parts below `root` that have not been shipped, to one target or to any."""
    parts = rows = num_bytes = 0
    for part, path in parts_below(root):
        if target is None or read_target(path.parent) == target:
            with contextlib.suppress(FileNotFoundError):
                num_bytes += path.stat().st_size
                parts, rows = parts + 1, rows + part.rows
    return PartTotals(parts, rows, num_bytes)


def drop_oldest(root: str | Path, max_bytes: int) -> PartTotals:
    """Remove the oldest parts beyond `max_bytes`, except the newest one, and return the removed ones.

    Parts that this user may not remove stay, such as those of another user in a directory that users share.
    """
    found = []
    for part, path in parts_below(root):
        with contextlib.suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime_ns, part, path, status.st_size))
    total = sum(size for *_, size in found)
    parts = rows = num_bytes = 0
    for _, part, path, size in sorted(found)[:-1]:
        if total - num_bytes <= max_bytes:
            break
        with contextlib.suppress(OSError):
            path.unlink()
            parts, rows, num_bytes = parts + 1, rows + part.rows, num_bytes + size
            remove_if_empty(path.parent)
    return PartTotals(parts, rows, num_bytes)
