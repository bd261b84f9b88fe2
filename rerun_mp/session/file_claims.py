"""Claims on the paths of files: the file that claims a path, the lock that keeps the claim, and the names beside it.

A program claims a path by putting an empty file there. The identity of this file, and of the parts that replace it,
tells which session the file at the path belongs to. A shared lock on the file tells that the session lives. The process
that claims holds this lock, and so does the worker that writes. The lock is visible in every container that shares the
directory. A lock belongs to an open file, which a one-page mapping keeps open without a descriptor, as in `leases`. A
forked child inherits the lock.

Any process and thread may call.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from itertools import chain, count, islice

from rerun_mp.errors import ResourceError
from rerun_mp.shm import leases
from rerun_mp.shm.interruptions import is_own, suppress_own

__all__ = [
    "Claim",
    "HeldError",
    "aside_paths",
    "check_writable",
    "claim_beside",
    "claim_existing",
    "claim_file",
    "claim_first",
    "claim_of",
    "has_begun",
    "hidden_name",
    "hold_file",
    "is_claimed",
    "is_in_place",
    "move_or_copy",
    "numbered_paths",
]

Claim = tuple[int, int, int]
"""Device, inode number and time of the last change of a file."""
MAX_NAME_BYTES = 255
"""Maximum length of a file's name on Linux."""
IN_PLACE = (errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV)
"""Errors of a rename to a path whose file may be written all the same: it is mounted, or its directory is not ours."""
MAX_ASIDE = 9
"""Names that a file of one session may get when it is set aside."""

_kept: set[str] = set()
"""Paths whose files this process has claimed as they were."""
_held: dict[str, leases.Lease] = {}
"""This process's locks on the files that it has claimed, by path. A forked child has them too."""


class HeldError(Exception):
    """The path cannot be claimed: a living process holds its file."""


def claim_file(path: str, session: str, *, force: bool = True) -> Claim:
    """Put an empty file at `path`, and return its identity. The caller's process holds a lock on it from then on.

    `session` marks the temporary file as this session's. Without `force`, the path must be free.

    Raises
    ------
    HeldError
        Without `force`, if another process holds the file at `path`.
    OSError
        If no file can be put there.
    """
    former = _held.pop(path, None)
    if former is not None:
        former.release()
    existing = None if force else _open_free(path)
    directory, name = os.path.split(path)
    fresh = os.path.join(directory, hidden_name(name, f"{session}-claim-{os.urandom(6).hex()}"))
    try:
        with contextlib.ExitStack() as opened:
            if existing is not None:
                opened.callback(os.close, existing)
            try:
                descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, descriptor)
                with contextlib.suppress(FileNotFoundError):
                    os.fchmod(descriptor, stat.S_IMODE(os.stat(path).st_mode))
                _keep(path, descriptor)
                os.replace(fresh, path)
            except OSError as error:
                if not is_own(error) or error.errno not in IN_PLACE or not os.path.isfile(path):
                    raise
                # As rerun does: the file itself is emptied.
                if existing is not None:
                    fcntl.flock(existing, fcntl.LOCK_UN)
                descriptor = os.open(path, os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC)
                opened.callback(os.close, descriptor)
                _keep(path, descriptor)
            _kept.discard(path)
            return _identity(os.fstat(descriptor))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(fresh)


def claim_existing(path: str) -> Claim:
    """Claim the file at `path` as it is, and return its identity. The caller's process holds a lock on it from then on.

    Raises
    ------
    HeldError
        If another process holds the file.
    OSError
        If there is no regular file any more.
    """
    former = _held.pop(path, None)
    if former is not None:
        former.release()
    descriptor = _open_free(path)
    if descriptor is None:
        raise FileNotFoundError(errno.ENOENT, "there is no file to add to", path)
    try:
        _keep(path, descriptor)  # the exclusive lock becomes a shared one
        _kept.add(path)
        return _identity(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def has_begun(path: str) -> bool:
    """Say whether this process, or one that it was forked from, has begun the file at `path`. It may be complete."""
    return path in _held and path not in _kept


def claim_beside(path: str) -> tuple[str, Claim]:
    """Put an empty file at the first free of the `numbered_paths`, as `claim_first`."""
    return claim_first(numbered_paths(path))


def claim_first(candidates: Iterable[str]) -> tuple[str, Claim]:
    """Put an empty file at the first of these paths that is free, and return its path and identity.

    The caller's process holds a lock on it from then on. A file that lies at a name is never replaced.

    Raises
    ------
    OSError
        If no file can be put there.
    """
    for candidate in candidates:
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(candidate, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o666)
            try:
                _keep(candidate, descriptor)
                return candidate, _identity(os.fstat(descriptor))
            finally:
                os.close(descriptor)
    raise AssertionError("there is no end of names")


def claim_of(path: str) -> Claim | None:
    """Return the identity of the file at `path`; None if there is none."""
    try:
        return _identity(os.stat(path))
    except OSError:
        return None


def is_claimed(path: str, claim: Claim) -> bool:
    """Say whether the file at `path` is still the one that `claim_file` put there."""
    return claim_of(path) == claim


def is_in_place(path: str) -> bool:
    """Say whether the file at `path` cannot be replaced: it is mounted there, or its directory is not ours."""
    return os.path.isfile(path) and (not os.access(os.path.dirname(path) or ".", os.W_OK) or path in _mount_points())


def _mount_points() -> set[str]:
    with suppress_own(OSError), open("/proc/self/mountinfo", "rb") as file:
        escaped = (line.split()[4] for line in file)
        return {os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), one)) for one in escaped}
    return set()


def hold_file(path: str) -> leases.Lease | None:
    """Lock the file at `path` for as long as the lease. None: there is no regular file, or no lock for it."""
    with suppress_own(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return leases.Lease.keep(descriptor, inherited=False)
        finally:
            os.close(descriptor)
    return None


def move_or_copy(source: str, target: str) -> None:
    """Rename a file to `target`, or, if a file there can only be written in place, write it there and remove `source`.

    Raises
    ------
    OSError
        If neither is possible.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno not in IN_PLACE or not os.path.isfile(target):
            raise
        import shutil  # see `directories.remove_tree`

        shutil.copyfile(source, target)
        os.unlink(source)


def hidden_name(name: str, addition: str) -> str:
    """Return the name of a session's hidden file beside the file `name`."""
    return f".{_shortened(name, MAX_NAME_BYTES - len(addition) - 6)}.rmp-{addition}"


def numbered_paths(path: str) -> Iterator[str]:
    """Yield the names for a file whose path another file keeps: run-2.rrd, run-3.rrd, and so on."""
    return (_with_addition(path, f"-{number}") for number in count(2))


def aside_paths(path: str, session: str) -> Iterator[str]:
    """Yield the names that a session's file gets when a later program takes its path: run.recovered-1a2b3c4d.rrd first.

    The names follow from path and session, so that the session's collector finds its file there.
    """
    additions = chain([""], (f"-{number}" for number in count(2)))
    return (_with_addition(path, f".recovered-{session}{one}") for one in islice(additions, MAX_ASIDE))


def _with_addition(path: str, addition: str) -> str:
    directory, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > MAX_NAME_BYTES // 2:
        stem, suffix = name, ""
    room = MAX_NAME_BYTES - len(addition) - len(os.fsencode(suffix))
    return os.path.join(directory, f"{_shortened(stem, room)}{addition}{suffix}")


def _shortened(name: str, max_bytes: int) -> str:
    """Return `name`, or a beginning of it and a digest of the rest if it is longer than `max_bytes`."""
    raw = os.fsencode(name)
    if len(raw) <= max_bytes:
        return name
    digest = hashlib.blake2b(raw, digest_size=4).hexdigest()
    beginning = raw[: max_bytes - len(digest) - 1]
    # A character of several bytes must not be cut in the middle.
    while beginning and not name.startswith(os.fsdecode(beginning)):
        beginning = beginning[:-1]
    return f"{os.fsdecode(beginning)}~{digest}"


def _open_free(path: str) -> int | None:
    """Open the file at `path`, locked against other claims. None: there is no regular file."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                os.close(descriptor)
                return None
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HeldError(path) from None
        except OSError:
            return descriptor  # a file system without locks
        if claim_of(path) == _identity(status):
            return descriptor
        os.close(descriptor)


def _keep(path: str, descriptor: int) -> None:
    """Lock an open file, and keep the lock until this process claims the path again, or ends."""
    with suppress_own(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        former, _held[path] = _held.get(path), leases.Lease.keep(descriptor, inherited=True)
        if former is not None:
            former.release()  # on the temporary file, if the path's own file is written in place


def _identity(status: os.stat_result) -> Claim:
    # The inode alone is not enough: another file may get the number of a removed one.
    return status.st_dev, status.st_ino, status.st_mtime_ns


def check_writable(path: str) -> None:
    """Check that the collector will be able to make a file in the directory and to replace `path` with it.

    Raises
    ------
    ResourceError
        If it will not.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise ResourceError(f"cannot write a recording to {path}: that is no regular file; give the path of one")
    if os.path.isfile(path) and not os.access(path, os.W_OK):
        raise ResourceError(f"cannot overwrite {path}: it is read-only for this user; remove it or choose another path")
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
    except OSError as error:
        raise ResourceError(
            f"cannot write {path}: {error.strerror} (errno {error.errno}); choose another path"
        ) from error
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path)):
            pass
    except OSError as error:
        raise ResourceError(
            f"cannot write {path}: {error.strerror} (errno {error.errno}); choose a directory that you can write to"
        ) from error
