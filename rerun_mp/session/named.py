"""Sessions with a name, for processes without a common ancestor: units of systemd, containers, terminals.

The key of such a session is derived from its name and from 32 random bytes of this user: the *secret*, a file that only
the user can read. So another user can neither join the session nor take its place. The sinks of every member take the
rows of all. Any thread may call.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, parse_name
from rerun_mp.errors import InvalidArgumentError, PrivacyError, ResourceError
from rerun_mp.session import directories

__all__ = ["check_name", "is_name", "key_of", "name_in_environment", "recording_key"]

MAX_CHARACTERS = 64
SECRET_NAME = "session-secret"
SECRET_BYTES = 32


def is_name(text: str) -> bool:
    """Say whether a text can name a session: letters, digits, dots, hyphens and underscores, and no session's key."""
    is_plain = text.isascii() and text[:1].isalnum() and all(one.isalnum() or one in "._-" for one in text)
    return is_plain and len(text) <= MAX_CHARACTERS and parse_name(text) is None


def check_name(text: str) -> str:
    """Return the name of a session.

    Raises
    ------
    InvalidArgumentError
        If the text can name no session.
    """
    if not isinstance(text, str) or not is_name(text):
        raise InvalidArgumentError(
            f"argument 'session': {text!r} names no session; give at most {MAX_CHARACTERS} letters, digits, dots, "
            "hyphens and underscores, such as robot-7, but not 64 hexadecimal digits"
        )
    return text


def name_in_environment() -> str | None:
    """Return the name that RERUN_MP_SESSION holds; None if it holds none, or a session's key."""
    text = os.environ.get(ENVIRONMENT_VARIABLE)
    return text if text is not None and is_name(text) else None


def key_of(name: str, *, may_create: bool) -> bytes | None:
    """Return the key of the session with this name. None: this user has no secret, and `may_create` is False.

    Raises
    ------
    PrivacyError
        If the secret can be read by others, or belongs to another user.
    ResourceError
        If it can be neither read nor made.
    """
    secret = _secret(may_create=may_create)
    return None if secret is None else hmac.new(secret, b"rerun_mp named 1" + name.encode(), hashlib.sha256).digest()


def recording_key(key: bytes, root: bytes) -> bytes:
    """Return the key of the recording ids of one session: a later session with the same name has other recordings."""
    return hmac.new(key, b"rerun_mp recordings of " + root, hashlib.sha256).digest()


def _secret(*, may_create: bool) -> bytes | None:
    path = _place()
    try:
        found = _read(path)
        if found is None and may_create:
            _make(path)
            found = _read(path)
    except PrivacyError:
        raise
    except OSError as error:
        raise ResourceError(f"the secret of named sessions at {path} cannot be used: {error.strerror}") from error
    return found


def _place() -> str:
    """Return the path of the secret. Units of systemd and terminals share a home, but no runtime directory."""
    base = directories.rescue_base()
    if os.path.dirname(base) == directories.temporary_directory():
        base = directories.runtime_base()  # its name has the user's number
    return os.path.join(base, SECRET_NAME)


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not stat.S_ISREG(status.st_mode):
            raise PrivacyError(
                f"{path} must be a file that only you can read, because it keeps other users out of your named "
                "sessions; remove it, and stop your named sessions"
            )
        return os.read(descriptor, SECRET_BYTES) or None
    finally:
        os.close(descriptor)


def _make(path: str) -> None:
    """Put a new secret at `path`, unless another process does so at the same time."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fresh = f"{path}.{os.getpid()}-{os.urandom(4).hex()}"
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, os.urandom(SECRET_BYTES))
        os.close(descriptor)
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        os.unlink(fresh)
