"""Bounds the memory of rerun's file writer, which keeps 270 bytes for each chunk and takes 600 more for the footer.

After `MAX_CHUNKS` chunks the writer is closed, and another one goes on in the same file: a *section* of the file ends.
Each writer makes a footer of its own section. It must not get into the file, where readers would take it for the footer
of all chunks, so the writer's descriptor is replaced before the writer is closed or used::

    rerun's descriptor ──► the file                          while a section is written
                       ──► a file without a name             when the writer is created (its prelude), and
                                                             when it is closed (its footer)

The file has whole messages and no footer all the while, as one that a single writer writes. At the end it gets one
footer, made of all footers (`encoding.rrd_sections`). If the collector is killed before, the file has no footer, and
the next life completes it as any other.

Replacing a descriptor is safe only while rerun's thread rests: after a flush that has succeeded, before the next chunk.
Belongs to the thread of the writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from typing import IO

from rerun_mp.encoding.rrd_sections import SectionFooters

__all__ = ["MAX_CHUNKS", "FileSections", "descriptor_for_writing"]

MAX_CHUNKS = 1 << 16
"""Number of chunks after which a section ends, at the next flush."""


class FileSections:
    """The sections of one regular file, and the descriptor by which rerun writes it.

    Parameters
    ----------
    path
        The file, which rerun's writer has just created.
    """

    def __init__(self, path: str) -> None:
        self._rerun: int | None = None
        """Rerun's descriptor; None: not looked up yet, or there is no writer."""
        self._file: int | None = None
        """A descriptor of our own for the file, between two writers."""
        self._apart: IO[bytes] | None = None
        """The file without a name that gets a prelude or a footer."""
        self._footers: SectionFooters | None = None
        self._shift = 0
        """What the places in the present section's footer lack to be those in the file."""
        self._directory = os.path.dirname(os.path.abspath(path))
        status = os.stat(path)
        self._is_regular = stat.S_ISREG(status.st_mode)
        self._inode = (status.st_dev, status.st_ino)

    @property
    def has_ended_sections(self) -> bool:
        """Whether a section has ended, so that the file needs a footer of ours."""
        return bool(self._footers)

    def descriptor(self) -> int | None:
        """Return rerun's descriptor for the file. None: it is not found."""
        found = descriptor_for_writing(self._inode) if self._rerun is None else self._rerun
        return found if found is not None and _inode_of(found) == self._inode else None

    def go_on_in(self, descriptor: int) -> None:
        """Note that rerun's descriptor is one for another file now, a copy of the one before."""
        self._inode = _inode_of(descriptor)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def prepare(self) -> bool:
        """Get what the end of a section needs. False: it cannot end now, and nothing has changed."""
        if not self._is_regular:
            return False
        try:
            rerun = self.descriptor()
            if rerun is None:
                return False
            self._rerun = rerun
            if self._file is None:
                self._file = os.open(f"/proc/self/fd/{rerun}", os.O_RDWR | os.O_APPEND)
            if self._footers is None:
                self._footers = SectionFooters(self._directory)
            if self._apart is None:
                self._apart = self._nameless()
        except OSError:
            return False
        return True

    def turn_away(self) -> None:
        """Let rerun's writer, which rests, write its footer elsewhere. `prepare` has returned True."""
        assert self._apart is not None
        assert self._rerun is not None
        os.dup2(self._apart.fileno(), self._rerun, inheritable=False)
        self._rerun = None

    def end_section(self) -> None:
        """Keep the footer of the writer that has been closed.

        Raises
        ------
        CorruptionError
            If it has left none.
        OSError
            If the disk is full.
        """
        assert self._apart is not None
        assert self._footers is not None
        self._footers.add(self._apart.fileno(), self._shift)
        self._apart.close()
        self._apart = None

    def begin_section(self) -> str:
        """Return the path at which the next writer begins. Raises OSError if there is no room for it."""
        self._apart = self._nameless()
        return f"/proc/self/fd/{self._apart.fileno()}"

    def turn_to_file(self) -> None:
        """Let the next writer, which has flushed its prelude and rests, write to the file.

        Raises
        ------
        OSError
            If its descriptor is not found.
        """
        assert self._apart is not None
        assert self._file is not None
        rerun = descriptor_for_writing(_inode_of(self._apart.fileno()))
        if rerun is None:
            raise OSError("the descriptor of rerun's writer is not found")
        os.dup2(self._file, rerun, inheritable=False)
        self._rerun = rerun
        self._shift = os.fstat(self._file).st_size - os.fstat(self._apart.fileno()).st_size
        self._apart.close()
        os.close(self._file)  # `prepare` gets it again: files that are open for long take few descriptors
        self._apart = self._file = None

    def write_footer(self) -> None:
        """End the file with one footer, after `end_section`. On failure it is left without one.

        Raises
        ------
        CorruptionError, OSError
            If there is no room for the footer, or it cannot be made.
        """
        assert self._file is not None
        assert self._footers is not None
        size = os.fstat(self._file).st_size
        try:
            self._footers.write(self._file)
        except BaseException:
            os.ftruncate(self._file, size)
            raise

    def close(self) -> None:
        """Free descriptors and disk. Rerun's descriptor belongs to its writer."""
        for one in (self._apart, self._footers):
            if one is not None:
                one.close()
        if self._file is not None:
            os.close(self._file)
        self._apart = self._footers = self._file = None

    def __del__(self) -> None:
        """Close them with a writer that is dropped, as rerun's own descriptor."""
        self.close()

    def _nameless(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._directory, buffering=0)


def descriptor_for_writing(inode: tuple[int, int]) -> int | None:
    """Return the only descriptor of this process that is open for writing alone on this file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        with contextlib.suppress(OSError):  # closed meanwhile
            if _inode_of(fd) == inode and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
                found.append(fd)
    return found[0] if len(found) == 1 else None


def _inode_of(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino)
