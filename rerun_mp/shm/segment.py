"""A session's segment in `/dev/shm`: create, publish, attach, rename.

The founder builds the segment without a name (O_TMPFILE), so that a founder that dies leaves nothing, and publishes it
by linkat(2). A founder that loses this race attaches to the winner's segment.

`attach` opens the file, checks owner, mode and contents, takes the participants lease, and then compares the inode with
the inode that the name shows *now*. The collector of an ending session holds the participants lock exclusively before
it renames the segment. So no process joins an ending session.

An attached process keeps two mappings, and no descriptor, until it ends.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from io import FileIO

from rerun_mp.errors import PrivacyError, SharedMemoryError
from rerun_mp.shm import kernel, leases
from rerun_mp.shm.interruptions import suppress_own
from rerun_mp.shm.layout import MAGIC, PAGE, VERSION, Geometry, Header, Lock, root_of
from rerun_mp.shm.ordering import STRONG
from rerun_mp.shm.reserve import Reserve, reserve_pages
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
MIN_SLOTS = 4
"""Number of slots for which `create` reserves memory."""


class Segment:
    """A mapped segment. It stays mapped until the process ends, so that no late read can crash."""

    __slots__ = (
        "_address", "_identity", "_nonce", "_paths", "inode", "life", "participants", "path", "reserve", "ring", "root",
    )  # fmt: skip

    def __init__(
        self, path: str, inode: int, address: int, geometry: Geometry, participants: leases.Lease | None
    ) -> None:
        self.path = path
        self.inode = inode
        self._address = address
        self.ring = Ring(kernel.view(address, geometry.total_bytes), geometry)
        self._nonce = self.root = b""
        self._paths: dict[int, str] = {}
        self._identity: list[tuple[slice, bytes]] = []
        """The slices of the header that only the creator writes, and their contents."""
        self.reserve = Reserve()
        """The descriptor with which this process goes on after it has changed its user."""
        self.participants = participants
        """This process's share of the participants lock. None: it has no share, as in the collector."""
        self.life: leases.Lease | None = None
        """This process's share of the lock in the spool directory, which proves life to other containers."""

    @property
    def nonce(self) -> bytes:
        """Sixteen random bytes that tell this segment from all others, also from a later one under the same name."""
        # Read once, as the paths are: the header may be damaged later.
        if not self._nonce:
            self._nonce = nonce_of(self.ring.words)
        return self._nonce

    @property
    def living_path(self) -> str:
        """The path under which processes join the session."""
        return self.path.removesuffix(ending_path("", self.nonce.hex()))

    @property
    def ending_path(self) -> str:
        """The path of the segment once its session is ending."""
        return ending_path(self.living_path, self.nonce.hex())

    @property
    def runtime_directory(self) -> str:
        """The directory of the session's configuration and status."""
        return self._path_at(Header.RUNTIME_DIRECTORY)

    @property
    def spool_directory(self) -> str:
        """The directory on disk of rows that have no file."""
        return self._path_at(Header.SPOOL_DIRECTORY)

    def remember_identity(self) -> None:
        """Read nonce and directories before another process can damage them, and keep a copy for `restore_identity`.

        Raises
        ------
        SharedMemoryError
            If the header names no directories.
        """
        # The beginning of the root session's nonce: of its own nonce, unless the session continues another one.
        self.root = root_of(self.ring.words)
        if not (self.nonce and self.root and self.runtime_directory and self.spool_directory):
            raise SharedMemoryError(f"{self.path} names no directories; its header is damaged")
        self._identity = [(part, bytes(self.ring.memory[part])) for part in Header.IDENTITY]

    def restore_identity(self) -> None:
        """Restore nonce and directories if they were overwritten: the next process that joins needs them."""
        for part, content in self._identity:
            if self.ring.memory[part] != content:
                self.ring.memory[part] = content

    def leave(self) -> None:
        """Give back this process's shares. Forked children that inherited them still hold theirs."""
        for lease in (self.participants, self.life):
            if lease is not None:
                lease.release()

    def map_ahead(self, slot: int) -> None:
        """Map all pages of a slot into this process. The pages must be reserved."""
        geometry = self.ring.geometry
        if geometry.slot_bytes % kernel.PAGE_BYTES:
            return  # A slot shares a page with its neighbour: let the first touch of each page map it.
        # Kernels before 5.14 do not know this advice. Then the first touch of each page maps it.
        with suppress_own(OSError):
            kernel.advise(self._address + geometry.slot_offset(slot), geometry.slot_bytes, kernel.MADV_POPULATE_WRITE)

    def open(self, *, is_ending: bool = False) -> int:
        """Open the segment's file again, and return the new descriptor.

        With `is_ending`, also open a segment that was renamed because its session is ending.

        Raises
        ------
        SharedMemoryError
            If the name is gone or shows another file: the segment was removed while in use.
        """
        is_another = False
        # The collector may rename it at any moment, so the name that comes later is looked up later.
        for path in (self.path, self.ending_path) if is_ending else (self.path,):
            with suppress_own(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
                if os.fstat(descriptor).st_ino == self.inode:
                    return descriptor
                os.close(descriptor)
                is_another = True
        if is_another:
            raise SharedMemoryError(f"{self.path} is another segment now than the one this process joined.")
        raise SharedMemoryError(
            f"{self.path} has been removed while this process uses it; rows can no longer be logged there. "
            "Something cleans /dev/shm; call init() again for a new session."
        )

    def _path_at(self, offset: int) -> str:
        found = self._paths.get(offset)
        if found is None:
            found = self._paths[offset] = directory_at(self.ring.memory, offset, self.path)
        return found


def nonce_of(words: memoryview) -> bytes:
    """Return the nonce in a header's words."""
    return b"".join(words[i].to_bytes(8, "little") for i in (Header.NONCE_LOW, Header.NONCE_HIGH))


def directory_at(memory: memoryview, offset: int, path: str) -> str:
    """Return the directory that the header of the segment at `path` names at `offset`.

    Raises
    ------
    SharedMemoryError
        If those bytes are no path.
    """
    length = int.from_bytes(memory[offset : offset + 8], "little")
    raw = bytes(memory[offset + 8 : offset + 8 + min(length, Header.PATH_BYTES)])
    if length > Header.PATH_BYTES or b"\0" in raw:
        raise SharedMemoryError(f"{path} names a directory of {length} bytes; its header is damaged")
    return os.fsdecode(raw)


def ending_path(path: str, nonce: str) -> str:
    """Return the path to which the segment at `path` is renamed when its session ends; `nonce` is in hex."""
    return f"{path}.{nonce[:16]}"


class ClaimLocks:
    """The locks of the slots that one claim tries, on an open file description made for this claim alone.

    An inherited description would share its locks with the parent. The program may close a kept descriptor, and the
    number may then belong to one of the user's files. The locks are held until the description is closed.
    """

    __slots__ = ("_descriptor", "_geometry")

    def __init__(self, segment: Segment, descriptor: int) -> None:
        self._geometry = segment.ring.geometry
        self._descriptor = descriptor

    def lock(self, slot: int) -> bool:
        """Take a slot's lock without waiting."""
        return leases.try_lock(self._descriptor, Lock.SLOTS + slot)

    def reserve(self, slot: int) -> bool:
        """Reserve a slot's pages, so that a store into them cannot raise SIGBUS. False: /dev/shm is full."""
        if slot < MIN_SLOTS:
            return True  # `create` has reserved them; to do so again takes 4 % of a forked child's first row
        return reserve_pages(self._descriptor, self._geometry.slot_offset(slot), self._geometry.slot_bytes)


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
    ordering: int = STRONG,
    root: bytes = b"",
    founder: int = 0,
) -> Segment | None:
    """Make and publish a segment, with this process as its first participant. None: the name is taken.

    `root` is given if the session continues another one. `founder` is the mark of this program.

    Raises
    ------
    SharedMemoryError
        If /dev/shm has no room for the tables and a few slots, or is no tmpfs; or if a number or path is out of bounds.
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
        needed = geometry.slot_offset(min(MIN_SLOTS, geometry.slots))
        if not reserve_pages(descriptor, 0, needed):
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
            ordering=ordering,
            created_ns=time.time_ns(),
            root=root,
            founder=founder,
        )
        made.participants = participants = _participate(descriptor)
        assert participants is not None, "no other process knows this file yet"
        made.remember_identity()
        try:
            kernel.link_descriptor(descriptor, path)
        except FileExistsError:
            participants.release()
            return None
        return made
    finally:
        os.close(descriptor)


def attach(path: str, *, participate: bool = True, shared: bool = True) -> Segment | None:
    """Join the segment at `path`. None: there is none, or its session is ending.

    Without `participate`, take no share of the participants lock. Without `shared`, map a private copy: this process
    cannot change the segment.

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
            joined.remember_identity()
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
    """Open a file that only this user may open, and return its descriptor.

    Raises
    ------
    FileNotFoundError
        If there is none.
    PrivacyError
        If it belongs to another user, is no regular file, or lies open to others.
    OSError
        If the system has no free descriptor.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        # Another user's file, which this process may not even open; a link; a directory.
        raise PrivacyError(
            f"{path} is not ours: it cannot be opened ({error.strerror}). It is not used. Remove it, or set "
            "RERUN_MP_SESSION to another session."
        ) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(descriptor)
        raise PrivacyError(
            f"{path} is not ours: owner {found.st_uid}, mode {stat.filemode(found.st_mode)}; expected a file of user "
            f"{os.geteuid()} that other users cannot open. It is not used. Remove it, or set RERUN_MP_SESSION to "
            "another session."
        )
    return descriptor


def _participate(descriptor: int) -> leases.Lease | None:
    """Take a share of the participants lock. None: the session is ending."""
    # On a description of its own: else the mapping of the data would keep the lease for the life of the process.
    with no_forks(), FileIO(os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC), "r+") as file:
        own = close_in_children(file)
        if not leases.try_lock(own, Lock.PARTICIPANTS, shared=True):
            return None
        return leases.Lease.keep(own, inherited=True)


def read_header(descriptor: int, path: str) -> tuple[memoryview, Geometry]:
    """Return the header page of the segment open as `descriptor`, as words, and its geometry.

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
