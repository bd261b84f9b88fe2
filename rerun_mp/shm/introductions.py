"""New producers send the collector a descriptor of their process, so that the collector can tell how they ended.

The process that starts a collector binds a socket in the session's runtime directory, and the collector inherits it.
The socket exists before the collector reads. So the collector also hears of a process that lived only while the
collector started. A datagram holds the producer's owner word (`layout.pack_owner`) and, as ancillary data, its process
descriptor. Introductions are optional: without room in the socket, without a socket, or on an old kernel, a producer
sends nothing and does not wait.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from io import FileIO

from rerun_mp.shm.interruptions import suppress_own
from rerun_mp.shm.transient import no_forks

__all__ = ["DESCRIPTOR", "announce", "inherited_mailbox", "open_mailbox", "received"]

DESCRIPTOR = 8
"""Descriptor number on which guard and worker inherit the socket. A shell passes on numbers below ten only."""
NAME = "births"
"""File name of the socket."""
MAX_DATAGRAMS = 64
"""Maximum datagrams read in one call: a process that writes without end must not hold up the collector."""


def open_mailbox(directory: str) -> int:
    """Bind the session's socket anew and return its descriptor. -1: this system cannot do that."""
    import _socket

    path = os.path.join(directory, NAME)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        mailbox = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            mailbox.bind(path)
            # A number that no descriptor of a collector has: the starter sets those numbers before it passes this one.
            return fcntl.fcntl(mailbox.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
        finally:
            mailbox.close()
    except (OSError, AttributeError):  # the path is too long; not Linux
        return -1


def inherited_mailbox(directory: str) -> int:
    """Return the socket that this worker has inherited, or else a new one. Its own children do not inherit it."""
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

    Forks by other threads wait meanwhile. A child that a signal handler forks during the call goes on like its parent.
    """
    import _socket

    with suppress_own(OSError, AttributeError), no_forks(), FileIO(os.pidfd_open(os.getpid()), "r") as process:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, process.fileno().to_bytes(4, sys.byteorder))]
        sender = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC)
        try:
            sender.sendmsg([owner.to_bytes(8, "little")], rights, 0, f"{directory}/{NAME}")
        finally:
            sender.close()


def received(mailbox: int) -> Iterator[tuple[int, int]]:
    """Yield (owner, process descriptor) of each new introduction. The caller owns the descriptors."""
    import _socket

    reader = _socket.socket(fileno=mailbox)
    try:
        for _ in range(MAX_DATAGRAMS):
            text, ancillary, _, _ = reader.recvmsg(8, _socket.CMSG_SPACE(array.array("i").itemsize))
            for level, kind, data in ancillary:
                if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                    sent = array.array("i")
                    sent.frombytes(data[: len(data) - len(data) % sent.itemsize])
                    for descriptor in sent:
                        yield int.from_bytes(text, "little"), descriptor
    except OSError:
        pass  # no more datagrams
    finally:
        reader.detach()
