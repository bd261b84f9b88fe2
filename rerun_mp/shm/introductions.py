"""Producers introduce themselves to the collector by a descriptor of their process: so it can say how they ended.

Who starts a collector binds a socket in the session's runtime directory and hands it on. It is there before the
collector reads, so that a process which lived for a moment only, while the collector was starting, is known too. A
datagram has the producer's owner word (`layout.pack_owner`) and, as ancillary data, its process descriptor. All of it
is a courtesy: where there is no room, no socket, or no such kernel, nothing is said, and nobody waits.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
from collections.abc import Iterator
from io import FileIO

from rerun_mp.shm.transient import no_forks

__all__ = ["DESCRIPTOR", "announce", "inherited_mailbox", "open_mailbox", "received"]

DESCRIPTOR = 8
"""On which guard and worker inherit the socket. A shell passes on no more than ten."""
NAME = "births"
MAX_LETTERS = 64
"""Read at one time: whoever writes without end must not keep the collector."""


def open_mailbox(directory: str) -> int:
    """Bind the session's socket anew and return its descriptor; -1 if that is not possible here."""
    import _socket

    path = os.path.join(directory, NAME)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mailbox = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            mailbox.bind(path)
            # Out of the way of the numbers that a collector's descriptors get: it is handed on after those are made.
            return fcntl.fcntl(mailbox.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        finally:
            mailbox.close()
    except (OSError, AttributeError):  # a path that is too long; another system
        return -1


def inherited_mailbox(directory: str) -> int:
    """Return the socket that a worker was handed on, or else a new one. Nothing that it starts gets it unasked."""
    import _socket

    try:
        inherited = _socket.socket(fileno=DESCRIPTOR)
        is_ours = inherited.getsockname() == os.path.join(directory, NAME)
        inherited.detach()
    except (OSError, AttributeError):
        is_ours = False
    if not is_ours:
        return open_mailbox(directory)
    os.set_inheritable(DESCRIPTOR, False)
    return DESCRIPTOR


def announce(directory: str, owner: int) -> None:
    """Introduce this process as the producer `owner`.

    No other thread forks meanwhile. A child that a signal handler forks in the middle goes on here as its parent does.
    """
    import _socket

    with contextlib.suppress(OSError, AttributeError), no_forks(), FileIO(os.pidfd_open(os.getpid()), "r") as process:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", [process.fileno()]))]
        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            sender.sendmsg([owner.to_bytes(8, "little")], rights, 0, os.path.join(directory, NAME))
        finally:
            sender.close()


def received(mailbox: int) -> Iterator[tuple[int, int]]:
    """Yield (owner, process descriptor) of who has introduced themselves since. The descriptors are the caller's."""
    import _socket

    reader = _socket.socket(fileno=mailbox)
    try:
        for _ in range(MAX_LETTERS):
            text, ancillary, _, _ = reader.recvmsg(8, _socket.CMSG_SPACE(array.array("i").itemsize))
            for level, kind, data in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    sent = array.array("i")
                    sent.frombytes(data[: len(data) - len(data) % sent.itemsize])
                    for descriptor in sent:
                        yield int.from_bytes(text, "little"), descriptor
    except OSError:
        pass  # there are no more
    finally:
        reader.detach()
