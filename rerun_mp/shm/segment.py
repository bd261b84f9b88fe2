"""A session's segment in `/dev/shm`: create, publish, attach, rename.

It is built whole without a name (O_TMPFILE), so that a creator that dies leaves nothing, and published by linkat(2):
whoever loses that race attaches to the winner's. Attaching opens the file, checks owner, mode and contents, takes the
participants lease, and then compares the inode with what the name shows *now*: a session that is ending holds the
participants lock exclusively before it renames its segment aside, so nobody joins one.

A process that has attached keeps two mappings and no descriptor, until it ends.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from io import FileIO

from rerun_mp.errors import PrivacyError, SharedMemoryError
from rerun_mp.shm import kernel, leases
from rerun_mp.shm.layout import MAGIC, PAGE, VERSION, Geometry, Header, Lock
from rerun_mp.shm.ring import Ring
from rerun_mp.shm.transient import close_in_children, no_forks

__all__ = [
    "DIRECTORY",
    "ClaimLocks",
    "Segment",
    "attach",
    "create",
    "directory_at",
    "ending_path",
    "nonce_of",
    "open_checked",
    "read_header",
]

DIRECTORY = "/dev/shm"
MINIMUM_SLOTS = 4


class Segment:
    """A mapped segment. Its mapping is never undone, so that no late reader can crash."""

    __slots__ = ("_address", "_identity", "_nonce", "_paths", "inode", "participants", "path", "ring")

    def __init__(
        self, path: str, inode: int, address: int, geometry: Geometry, participants: leases.Lease | None
    ) -> None:
        self.path = path
        self.inode = inode
        self._address = address
        self.ring = Ring(kernel.view(address, geometry.total_bytes), geometry)
        self._nonce = b""
        self._paths: dict[int, str] = {}
        self._identity: list[tuple[slice, bytes]] = []
        """What only the creator writes: which bytes of the header, and what they were."""
        self.participants = participants
        """This process's share in the session's life; None for the collector, which has none."""

    @property
    def nonce(self) -> bytes:
        """Sixteen random bytes that no other segment has, not even a later one under the same name."""
        # Read once, as the paths are: what is in the header may be damaged later.
        if not self._nonce:
            self._nonce = nonce_of(self.ring.words)
        return self._nonce

    @property
    def living_path(self) -> str:
        """The name that its processes know it by."""
        return self.path.removesuffix(ending_path("", self.nonce.hex()))

    @property
    def ending_path(self) -> str:
        """The name that it has once its session is ending."""
        return ending_path(self.living_path, self.nonce.hex())

    @property
    def runtime_directory(self) -> str:
        """Where configuration and status of the session lie."""
        return self._path_at(Header.RUNTIME_DIRECTORY)

    @property
    def spool_directory(self) -> str:
        """Where rows without a file wait, on disk."""
        return self._path_at(Header.SPOOL_DIRECTORY)

    def remember(self) -> None:
        """Read what says whose segment this is, before anybody can have damaged it."""
        if not (self.nonce and self.runtime_directory and self.spool_directory):
            raise SharedMemoryError(f"{self.path} names no directories; its header is damaged")
        self._identity = [(part, bytes(self.ring.memory[part])) for part in Header.IDENTITY]

    def restore_identity(self) -> None:
        """Put back what says whose segment this is, if it was written over: whoever comes next must find it."""
        for part, content in self._identity:
            if self.ring.memory[part] != content:
                self.ring.memory[part] = content

    def map_ahead(self, slot: int) -> None:
        """Map a slot's pages into this process, all at once; they have been reserved."""
        geometry = self.ring.geometry
        if geometry.slot_bytes % kernel.PAGE_BYTES:
            return  # a slot shares a page with its neighbour; pages are mapped as they are touched
        # Kernels before 5.14 do not know the advice; pages are mapped as they are touched then.
        with contextlib.suppress(OSError):
            kernel.advise(self._address + geometry.slot_offset(slot), geometry.slot_bytes, kernel.MADV_POPULATE_WRITE)

    def open(self, *, is_ending: bool = False) -> int:
        """Open the segment's file again and return a descriptor of one's own.

        With `is_ending`, also if it has been renamed because its session is ending.

        Raises
        ------
        SharedMemoryError
            If the name is gone or shows another file: somebody removed the segment under us.
        """
        try:
            path = self.ending_path if is_ending and os.path.exists(self.ending_path) else self.path
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError as error:
            raise SharedMemoryError(
                f"{self.path} has been removed while this process uses it; rows can no longer be logged there. "
                "Something cleans /dev/shm; call init() again for a new session."
            ) from error
        if os.fstat(descriptor).st_ino != self.inode:
            os.close(descriptor)
            raise SharedMemoryError(f"{self.path} is another segment now than the one this process joined.")
        return descriptor

    def _path_at(self, offset: int) -> str:
        found = self._paths.get(offset)
        if found is None:
            found = self._paths[offset] = directory_at(self.ring.memory, offset, self.path)
        return found


def nonce_of(words: memoryview) -> bytes:
    """Return the nonce that a header's words hold."""
    return b"".join(words[i].to_bytes(8, "little") for i in (Header.NONCE_LOW, Header.NONCE_HIGH))


def directory_at(memory: memoryview, offset: int, path: str) -> str:
    """Return the directory that the header of the segment at `path` names at `offset`.

    Raises
    ------
    SharedMemoryError
        If it is none.
    """
    length = int.from_bytes(memory[offset : offset + 8], "little")
    raw = bytes(memory[offset + 8 : offset + 8 + min(length, Header.PATH_BYTES)])
    if length > Header.PATH_BYTES or b"\0" in raw:
        raise SharedMemoryError(f"{path} names a directory of {length} bytes; its header is damaged")
    return os.fsdecode(raw)


def ending_path(path: str, nonce: str) -> str:
    """Return the name of the ending session's segment that lay at `path`; `nonce` is its nonce in hex."""
    return f"{path}.{nonce[:16]}"


class ClaimLocks:
    """The locks of the slots that one claim tries, on an open file description made for this claim alone.

    An inherited description would share its locks with the parent, and a kept descriptor may be closed by the program
    and its number given to a file of the user's. They are held until the description is closed.
    """

    __slots__ = ("_descriptor", "_geometry")

    def __init__(self, segment: Segment, descriptor: int) -> None:
        self._geometry = segment.ring.geometry
        self._descriptor = descriptor

    def lock(self, slot: int) -> bool:
        """Take a slot's lock without waiting."""
        return leases.try_lock(self._descriptor, Lock.SLOTS + slot)

    def reserve(self, slot: int) -> bool:
        """Reserve a slot's pages, so that touching them cannot be a SIGBUS. False: /dev/shm is full."""
        return _reserve(self._descriptor, self._geometry.slot_offset(slot), self._geometry.slot_bytes)


def create(
    path: str,
    geometry: Geometry,
    nonce: bytes,
    *,
    runtime_directory: str,
    spool_directory: str,
    policy: int = 0,
    block_timeout_ns: int = 0,
    flush_tick_ns: int = 0,
    spool_bytes: int = 0,
) -> Segment | None:
    """Make and publish a segment, with this process as its first participant. None if the name is taken.

    Raises
    ------
    SharedMemoryError
        If there is no room for the tables and a few slots, or no such file system.
    """
    problem = geometry.check()
    if problem is not None:
        raise SharedMemoryError(f"a ring cannot have that form: {problem}")
    try:
        descriptor = os.open(DIRECTORY, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SharedMemoryError(
            f"{DIRECTORY} cannot hold a shared-memory segment: {error.strerror}. rerun_mp needs a tmpfs there."
        ) from error
    try:
        os.ftruncate(descriptor, geometry.total_bytes)
        needed = geometry.slot_offset(min(MINIMUM_SLOTS, geometry.slots))
        if not _reserve(descriptor, 0, needed):
            free = os.statvfs(DIRECTORY)
            raise SharedMemoryError(
                f"no space for a session in {DIRECTORY}: {needed} bytes are needed at least, "
                f"{free.f_bavail * free.f_frsize} are free. Enlarge it (Docker: --shm-size) or remove what fills it."
            )
        address = kernel.map_file(descriptor, geometry.total_bytes, writable=True)
        made = Segment(path, os.fstat(descriptor).st_ino, address, geometry, None)
        ring = made.ring
        for offset, text in ((Header.RUNTIME_DIRECTORY, runtime_directory), (Header.SPOOL_DIRECTORY, spool_directory)):
            raw = os.fsencode(text)
            if len(raw) > Header.PATH_BYTES:
                raise SharedMemoryError(f"the path {text!r} is longer than {Header.PATH_BYTES} bytes")
            ring.memory[offset + 8 : offset + 8 + len(raw)] = raw
            ring.words[offset // 8] = len(raw)
        ring.format(
            nonce,
            policy=policy,
            block_timeout_ns=block_timeout_ns,
            flush_tick_ns=flush_tick_ns,
            spool_bytes=spool_bytes,
            created_ns=time.time_ns(),
        )
        made.participants = participants = _participate(descriptor)
        assert participants is not None, "nobody else knows this file yet"
        made.remember()
        try:
            kernel.link_descriptor(descriptor, path)
        except FileExistsError:
            participants.release()
            return None
        return made
    finally:
        os.close(descriptor)


def attach(path: str, *, participate: bool = True, shared: bool = True) -> Segment | None:
    """Join the segment that `path` shows. None if there is none, or the one there is ending.

    Without `shared` it is only looked at: nothing that this process does to it can change it.

    Raises
    ------
    PrivacyError
        If it belongs to another user or lies open to others.
    SharedMemoryError
        If it is not a segment of this version of rerun_mp.
    """
    try:
        descriptor = open_checked(path)
    except FileNotFoundError:
        return None
    try:
        participants = None
        if participate:
            participants = _participate(descriptor)
            if participants is None:
                return None
        inode = os.fstat(descriptor).st_ino
        try:
            if os.stat(path, follow_symlinks=False).st_ino != inode:
                raise FileNotFoundError
            _, geometry = read_header(descriptor, path)
            address = kernel.map_file(descriptor, geometry.total_bytes, writable=True, shared=shared)
            joined = Segment(path, inode, address, geometry, participants)
            joined.remember()
            return joined
        except BaseException as error:
            if participants is not None:
                participants.release()
            if isinstance(error, FileNotFoundError):
                return None
            raise
    finally:
        os.close(descriptor)


def open_checked(path: str) -> int:
    """Open a file that must be ours alone, and return its descriptor."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        # Somebody else's that we may not even open, a link, a directory.
        raise PrivacyError(
            f"{path} is not ours: it cannot be opened ({error.strerror}). It is not used. Remove it, or set "
            "RERUN_MP_SESSION to another session."
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(descriptor)
        raise PrivacyError(
            f"{path} is not ours: owner {found.st_uid}, mode {stat.filemode(found.st_mode)}; expected a file of user "
            f"{os.geteuid()} that nobody else may open. It is not used. Remove it, or set RERUN_MP_SESSION to another "
            "session."
        )
    return descriptor


def _participate(descriptor: int) -> leases.Lease | None:
    # On a description of its own: the mapping of the data would keep the lease for the life of the process.
    with no_forks(), FileIO(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC), "r+") as file:
        own = close_in_children(file)
        if not leases.try_lock(own, Lock.PARTICIPANTS, shared=True):
            return None
        return leases.Lease.keep(own, inherited=True)


def read_header(descriptor: int, path: str) -> tuple[memoryview, Geometry]:
    """Return the header page of the segment that `descriptor` shows, as words, and its form.

    Raises
    ------
    SharedMemoryError
        If it is not a segment of this version of rerun_mp.
    """
    size = os.fstat(descriptor).st_size
    head = os.pread(descriptor, PAGE, 0)
    words = memoryview(head).cast("Q") if len(head) == PAGE else None
    if words is None or words[Header.MAGIC] != MAGIC or words[Header.VERSION] != VERSION:
        raise SharedMemoryError(
            f"{path} is not a segment of this version of rerun_mp. Processes of one tree must use one version; "
            "a left-over file may be removed."
        )
    geometry = Geometry(words[Header.SLOT_BYTES], words[Header.SLOTS], words[Header.PRODUCERS])
    problem = geometry.check()
    if problem is not None or geometry.total_bytes != size:
        raise SharedMemoryError(f"{path} is damaged: {problem or f'{size} bytes, expected {geometry.total_bytes}'}")
    return words, geometry


def _reserve(descriptor: int, offset: int, size: int) -> bool:
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError:
        return False
    return True
