"""The worker's hold on its session's spool directory, and the directory made anew if somebody removes it.

The lock on the directory tells others that a worker writes there. The participants' locks are on a file in it, which is
gone with the directory. So the worker holds a share of theirs, too, when it has made the directory anew. Otherwise a
program that wants the path of this session's file would take the session for one that was killed. Each store brings its
journal and its part back (`appending`). Used by the worker's main thread.
"""

from __future__ import annotations

import os

from rerun_mp.collector.messages import say
from rerun_mp.collector.store.parts import inode_of
from rerun_mp.errors import PrivacyError, ResourceError
from rerun_mp.session import directories, origin
from rerun_mp.shm.leases import Lease
from rerun_mp.shm.segment import Segment

__all__ = ["SpoolHold"]


class SpoolHold:
    """Makes and holds the spool directory of a session. Files can be written without one."""

    def __init__(self, segment: Segment) -> None:
        self._runtime, self._spool = segment.runtime_directory, segment.spool_directory
        self._descriptor: int | None = None
        """The descriptor that holds the directory; None: another worker still holds it, or there is none."""
        self._inode: tuple[int, int] | None = None
        """The directory's inode; None: there is none, or it cannot be made anew."""
        self._life: Lease | None = None
        """The share in the participants' lock, once the directory was made anew."""
        try:
            directories.ensure_private(self._spool)
            self._hold()
        except PrivacyError:
            raise
        except (ResourceError, OSError) as error:
            say(f"worker {os.getpid()}: {error}")

    @property
    def is_gone(self) -> bool:
        """Whether somebody has removed the directory, and it can be made anew."""
        return self._inode is not None and inode_of(self._spool) != self._inode

    def restore(self) -> None:
        """Make the directory anew if somebody has removed it.

        Raises
        ------
        OSError, PrivacyError, ResourceError
            If it cannot be made. Further calls do nothing.
        """
        if not self.is_gone:
            return
        self._inode = None
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._life = origin.begin(self._runtime, self._spool)
        self._hold()
        say(f"worker {os.getpid()}: {self._spool} had been removed; it is there again")

    def _hold(self) -> None:
        self._descriptor, self._inode = directories.hold(self._spool), inode_of(self._spool)
