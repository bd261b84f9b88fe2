"""The directories of a session, which only its user can open.

- runtime directory: `$XDG_RUNTIME_DIR/rerun_mp/<nonce>` or `<temporary directory>/rerun_mp-<uid>/<nonce>`:
  configuration, accounts, the collector's log;
- spool directory: `$XDG_CACHE_HOME/rerun_mp/<nonce>` or `~/.cache/rerun_mp/<nonce>`: rows without a file, on disk.

Processes make both at the first need, mode 0700; the collector removes them at the end of the session.

- rescue directory: `$XDG_DATA_HOME/rerun_mp` or `~/.local/share/rerun_mp`: rows recovered from a killed program that
  have no file of their own, and under `unsent` rows that no viewer has acknowledged. It stays.

Under `sudo -E` these variables name another user's directories. What root makes there would keep that user out of his
own sessions, so its name is `rerun_mp-<uid>`.

Any process and thread may call.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence

from rerun_mp.errors import PrivacyError, ResourceError
from rerun_mp.shm.interruptions import is_from_handler

__all__ = [
    "MEMORY",
    "bases_for_new_session",
    "ensure_private",
    "hold",
    "name_of",
    "remove_base_of",
    "remove_tree",
    "replace_file",
    "rescue_base",
    "rescue_path",
    "runtime_base",
    "session_names",
    "spool_base",
    "temporary_directory",
    "unsent_directory",
]

MEMORY = "/dev/shm"
MAX_ATTEMPTS = 100
"""Attempts to make a directory while other sessions' collectors remove the empty base."""


def runtime_base() -> str:
    """Return the directory that holds the runtime directories of all sessions of this user."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and os.path.isdir(base) and os.access(base, os.W_OK):
        return os.path.join(os.path.abspath(base), _name_below(base))
    above = temporary_directory()
    if not os.access(above, os.W_OK | os.X_OK):
        above = MEMORY  # in a container with a read-only root, the only writable place may be a mount for its output
    return os.path.join(above, f"rerun_mp-{os.geteuid()}")


def spool_base() -> str:
    """Return the directory that holds the spools of all sessions of this user."""
    # Containers may have no home, or a read-only one. A spool that a reboot may clear is better than none.
    return _base_of_user("XDG_CACHE_HOME", ".cache") or os.path.join(runtime_base(), "rerun_mp")


def temporary_directory() -> str:
    """Return the directory for temporary files, as `tempfile` chooses it."""
    # tempfile.gettempdir() would try each candidate by writing a file, and costs 15 ms to import.
    for variable in ("TMPDIR", "TEMP", "TMP"):
        path = os.environ.get(variable)
        if path and os.path.isdir(path):
            return os.path.abspath(path)
    return "/tmp"


def rescue_base() -> str:
    """Return the directory for recovered rows that have no file of their own."""
    return _base_of_user("XDG_DATA_HOME", ".local", "share") or os.path.join(temporary_directory(), "rerun_mp")


def unsent_directory() -> str:
    """Return the directory for rows that no viewer has acknowledged, and that have no file of their own."""
    return os.path.join(rescue_base(), "unsent")


def rescue_path(directory: str, application_id: str, recording_id: str, nonce: bytes) -> str:
    """Return the path in `directory` for the recovered rows of a session's recording that has no file of its own."""
    name, digest = name_of(application_id, recording_id)
    return os.path.join(directory, f"{name}-{nonce.hex()[:8]}-{digest}.rrd")


def name_of(application_id: str, recording_id: str) -> tuple[str, str]:
    """Return a recording's name in file names: a readable part, and a digest that identifies it."""
    name = re.sub(r"[^\w.-]+", "_", application_id).strip(".")[:60] or "recording"
    return name, hashlib.blake2b(f"{application_id}\0{recording_id}".encode(), digest_size=4).hexdigest()


@contextlib.contextmanager
def bases_for_new_session() -> Iterator[tuple[str, str]]:
    """Make and check the bases of runtime and spool directories, and yield them. A failure removes empty ones again.

    Raises
    ------
    PrivacyError
        If one of them belongs to another user, is a link, or is open to other users.
    ResourceError
        If one of them cannot be made.
    """
    made: list[str] = []
    try:
        for base in (runtime_base(), spool_base()):
            _ensure([base])
            made.append(base)
        yield made[0], made[1]
    except BaseException:
        for base in made:
            _remove_if_empty(base)
        raise


def replace_file(directory: str, name: str, text: str) -> None:
    """Replace a file in a session's directory. Readers see the old content or `text`, never a part.

    Raises
    ------
    OSError
        If it cannot be written. It names the file, also if the disk is full.
    """
    ensure_private(directory)
    path = os.path.join(directory, name)
    try:
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        if error.filename is None and not is_from_handler(error):
            error.filename = path  # write(2) has none
        raise
    os.replace(path + ".new", path)


def ensure_private(path: str) -> None:
    """Make a session's directory, and the base above it, unless they exist.

    Raises
    ------
    PrivacyError
        If one of the two belongs to another user, is a link, or is open to other users.
    ResourceError
        If it cannot be made.
    """
    _ensure([os.path.dirname(path), path])


def hold(path: str) -> int | None:
    """Lock a session's directory for as long as the returned descriptor is open. None: another process holds it.

    A worker holds its spool so that others know it writes there, even after the segment has been removed.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def session_names(base: str) -> list[str]:
    """Return the names of the session directories in a base: the beginnings of nonces."""
    try:
        return [name for name in os.listdir(base) if len(name) == 16 and set(name) <= set("0123456789abcdef")]
    except OSError:
        return []


def remove_tree(path: str) -> None:
    """Remove a session's directory, and the base above it if it is empty then."""
    with contextlib.suppress(OSError):  # no descriptor is free
        import shutil  # brings bz2 and lzma; few processes need them

        shutil.rmtree(path, ignore_errors=True)
    _remove_if_empty(os.path.dirname(path))


def remove_base_of(path: str) -> None:
    """Remove the base above a session's directory, if it is empty."""
    _remove_if_empty(os.path.dirname(path))


def _remove_if_empty(base: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(base)


def _ensure(paths: Sequence[str]) -> None:
    """Make or check a base, and perhaps a directory in it."""
    for _ in range(MAX_ATTEMPTS):
        try:
            os.makedirs(os.path.dirname(paths[0]), exist_ok=True)
            for path in paths:
                _make_or_check(path)
            return
        except FileNotFoundError:
            # The collector of another session has just removed the empty base.
            continue
        except PrivacyError:
            raise
        except OSError as error:
            raise ResourceError(
                f"the session's directory {paths[-1]} cannot be made: {error.strerror}. Set XDG_RUNTIME_DIR and "
                "XDG_CACHE_HOME to directories that you may write to."
            ) from error
    raise ResourceError(f"{paths[-1]} vanishes as soon as it is made. Something removes {paths[0]}.")


def _make_or_check(path: str) -> None:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.stat(path, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PrivacyError(
                f"{path} is not a private directory of ours: owner {found.st_uid}, mode "
                f"{stat.filemode(found.st_mode)}; expected a directory of user {os.geteuid()} that no other user may "
                "open. It is not used. Remove it, or set XDG_RUNTIME_DIR (runtime) or XDG_CACHE_HOME (spool) to "
                "another place."
            ) from None


def _base_of_user(variable: str, *below_home: str) -> str | None:
    """Return this user's base in the directory that `variable` names, or else in one of the home.

    None if there is none, and this user cannot make it.
    """
    named, home = os.environ.get(variable), os.path.expanduser("~")
    base = os.path.join(named or os.path.join(home, *below_home), _name_below(named or home))
    return base if os.path.isabs(base) and _may_be_made(base) else None


def _name_below(path: str) -> str:
    """Return the name of this user's base below `path`, which may be another user's directory, or not exist yet."""
    try:
        is_own = os.stat(path).st_uid == os.geteuid()
    except OSError:
        is_own = True
    return "rerun_mp" if is_own else f"rerun_mp-{os.geteuid()}"


def _may_be_made(path: str) -> bool:
    """Say whether `path` exists, or this user can make it."""
    above = os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    return os.path.lexists(path) or os.access(above, os.W_OK | os.X_OK)
