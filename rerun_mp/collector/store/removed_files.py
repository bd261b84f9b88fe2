"""Brings a store's file back if somebody removes it, or puts another file in its place, while the store writes it.

Such a file has no name any more, but its rows stay for as long as rerun's writer has it open. They are copied to a new
file, and rerun goes on in the new file by its old descriptor (as in `sections`). The collector does nothing else while
it copies. The new file lies

- at the path of the removed one, whose directory is made anew;
- beside the path if another file lies there now (`file_claims.aside_paths`): that file belongs to another program;
- in the spool if no file can be put there, as rows that a full disk does not take;
- in the store's directory, which is made anew, if the file was a part of the spool.

A file that was moved still has a name, and goes on under it. One in a temporary directory that is gone is left alone
(`disks.is_discarded`). So is one that was there at the look before: a program that removes a directory removes the
files first, and would find it full.

Used by the store, in the worker's main thread.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from rerun_mp.collector.store import disks
from rerun_mp.collector.store.flushed_chunks import FlushedChunks
from rerun_mp.collector.store.journal import Journal
from rerun_mp.collector.store.part_writer import FLUSH_SECS, PartWriter
from rerun_mp.collector.store.parts import Part, inode_of
from rerun_mp.collector.store.spool import Spool
from rerun_mp.errors import ResourceError
from rerun_mp.session.accounts import Reason

__all__ = ["RemovedFiles"]


class RemovedFiles:
    """Looks after the file that a store is writing."""

    def __init__(self, journal: Journal, chunks: FlushedChunks, writing: PartWriter, spool: Spool) -> None:
        self._journal = journal
        self._chunks = chunks
        self._writing = writing
        self._spool = spool
        self._missed: Part | None = None
        """The part whose file was gone at the last look."""

    def look(self) -> None:
        """Bring the present file back if it was gone at the look before, too."""
        found = self._removed()
        if found is not None and found[0] is self._missed:
            self.bring_back()
        self._missed = None if found is None else found[0]

    def bring_back(self) -> None:
        """Bring the present file back if it was removed. Everything that it holds must be flushed.

        Afterwards the store writes to the new file, or no part is open, because the rows are in the spool or lost.
        """
        found = self._removed()
        if found is None:
            return
        part, descriptor = found
        path = part.path
        if part.is_spooled:
            try:
                self._copy_in_spool(part, descriptor)
            except OSError as error:
                self._give_up(part, descriptor, f"{path} was removed, and its rows are lost: {error}")
            return
        try:
            self._copy_beside(part, descriptor)
        except OSError as error:
            self._keep_in_spool(part, descriptor, f"{path} was removed, and no file can be put there: {error}")
        else:
            self._writing.say(f"{path} was removed while it was written; its rows are in a new file at {part.path}")

    def keep(self) -> bool:
        """Bring the rows of the present file into the spool if it was removed and its writer has failed.

        Returns whether it was removed.
        """
        found = self._removed()
        if found is None:
            return False
        part, descriptor = found
        self._keep_in_spool(part, descriptor, f"{part.path} was removed while it was written")
        return True

    def _removed(self) -> tuple[Part, int] | None:
        """Return the present part and rerun's descriptor for it, if it is a file without a name."""
        part, writer, target = self._writing.part, self._writing.writer, self._journal.target
        if part is None or writer is None or part.inode is None or part.exists():
            return None
        if not part.is_spooled and (target is None or disks.is_discarded(target.target)):
            return None
        descriptor = writer.descriptor(part.inode)
        if descriptor is None:
            return None
        status = os.fstat(descriptor)
        return (part, descriptor) if stat.S_ISREG(status.st_mode) and status.st_nlink == 0 else None

    def _copy_beside(self, part: Part, descriptor: int) -> None:
        """Copy the file to where it was, and let rerun go on there. On failure it stays as it is."""
        journal, writer, target = self._journal, self._writing.writer, self._journal.target
        assert writer is not None
        assert target is not None
        former = part.path, part.inode
        is_at_target = part.path == target.target
        if is_at_target and not disks.is_special(target.target):
            journal.move_aside()  # another program's file may lie there
            target = journal.target
            assert target is not None
        os.makedirs(os.path.dirname(target.target), exist_ok=True)
        path = journal.hidden_path(target.target, journal.take_number())
        self._copy(descriptor, path)
        with self._chunks.lock:
            part.path, part.inode = path, inode_of(path)
        try:
            journal.save()
            if is_at_target and journal.owns_target():
                journal.place(part)
            writer.go_on_in(part.path, descriptor)
        except OSError:
            part.unlink()
            with self._chunks.lock:
                part.path, part.inode = former
            journal.save()
            raise

    def _copy_in_spool(self, part: Part, descriptor: int) -> None:
        """Copy a part of the spool to another file there, and let rerun go on there. On failure it stays as it is."""
        writer = self._writing.writer
        assert writer is not None
        path = self._free_path_in_spool()
        self._writing.make_directory()
        self._copy(descriptor, path)
        try:
            writer.go_on_in(path, descriptor)
        except OSError:
            os.unlink(path)
            raise
        with self._chunks.lock:
            part.path, part.inode = path, inode_of(path)
        self._journal.save()

    def _free_path_in_spool(self) -> str:
        return str(self._writing.directory / f"part-{self._journal.take_number():03}.rrd")

    def _keep_in_spool(self, part: Part, descriptor: int, reason: str) -> None:
        path = self._free_path_in_spool()
        try:
            self._writing.make_directory()
            self._copy(descriptor, path)
        except OSError as error:
            self._give_up(part, descriptor, f"{reason}; its rows are lost: {error}")
            return
        with self._chunks.lock:
            part.path, part.inode, part.purpose = path, inode_of(path), "diverted"
        self._journal.save()
        self._writing.fail(f"{reason}; its rows are in {path}")
        self._leave()
        self._spool.drop_beyond_bound()

    def _give_up(self, part: Part, descriptor: int, reason: str) -> None:
        """Count the rows of the file, which can be kept nowhere."""
        part.path = f"/proc/self/fd/{descriptor}"
        self._spool.count_part(Reason.WRITE, part)
        with self._chunks.lock:
            self._journal.parts.remove(part)
        self._journal.save()
        self._writing.fail(reason)
        self._leave()

    def _leave(self) -> None:
        """Leave the removed file, whose room becomes free unless its writer hangs."""
        writer = self._writing.writer
        if writer is not None and not self._writing.unflushed:
            writer.discard(FLUSH_SECS)
        self._writing.abandon()

    def _copy(self, descriptor: int, path: str) -> None:
        """Copy a file that has no name to `path`.

        Raises
        ------
        OSError
            If there is no room for it.
        """
        status = os.fstat(descriptor)
        if not disks.has_room(path, status.st_size):
            raise ResourceError(f"too little space is left in {os.path.dirname(path)}")
        try:
            with open(f"/proc/self/fd/{descriptor}", "rb") as source, open(path, "xb") as copy:
                os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
                shutil.copyfileobj(source, copy, 1 << 20)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise
