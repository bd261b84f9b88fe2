"""The signal that killed a producer, as far as the kernel tells a process that is not its parent.

Producers send a descriptor of their process (`introductions`). For a producer that sent none, the worker opens one
while the producer's lease is held: so the process id is still its own. After the death there are two sources: while the
process waits for its parent, its exit status can be read; from Linux 6.15 on, the descriptor tells it later too.
Without either, the cause is unknown and nothing is reported. Used by the worker's main thread only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct

from rerun_mp.shm import introductions

__all__ = ["DeathCauses"]

MAX_WATCHED = 32
"""Maximum producers watched at a time: each takes a descriptor, and a collector has few. For a producer beyond it, only
the exit status that waits for its parent is known."""
GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO with the structure of 64 bytes."""
EXIT_KNOWN = 1 << 3
INFO = struct.Struct("<QQ12i")
STOP_REQUESTS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that ask a process to end, as pools send them to their workers. Such an end is not reported as a crash."""


class DeathCauses:
    """Watches the processes of producers, under any key."""

    def __init__(self) -> None:
        self._descriptors: dict[int, int] = {}
        """key -> descriptor of the process."""

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def receive(self, mailbox: int) -> None:
        """Take the descriptors that producers have sent, up to `MAX_WATCHED`."""
        for key, descriptor in introductions.received(mailbox):
            if key in self._descriptors or len(self._descriptors) >= MAX_WATCHED:
                os.close(descriptor)
            else:
                self._descriptors[key] = descriptor

    def watch(self, key: int, pid: int) -> None:
        """Begin to watch a living producer, unless it is watched already or `MAX_WATCHED` are."""
        if key in self._descriptors or len(self._descriptors) >= MAX_WATCHED or pid <= 0:
            return
        with contextlib.suppress(OSError, AttributeError):  # other systems have no pidfd_open
            self._descriptors[key] = os.pidfd_open(pid)

    def has_ended(self, key: int) -> bool:
        """Return whether the process of a producer has ended: the kernel frees its lease a few moments earlier.

        A producer that is not watched counts as ended.
        """
        if key not in self._descriptors:
            return True
        poll = select.poll()  # unlike `select.select`, it takes descriptors of any number
        poll.register(self._descriptors[key], select.POLLIN)
        return bool(poll.poll(0))

    def cause(self, key: int, pid: int) -> str | None:
        """Stop watching a dead producer, and return the name of the signal that killed it.

        None if no signal killed it, if a signal of `STOP_REQUESTS` did, or if the cause is unknown.
        """
        status = None
        if key in self._descriptors:
            descriptor = self._descriptors.pop(key)
            try:
                status = _status_of_reaped(descriptor)
            finally:
                os.close(descriptor)
        if status is None:
            # A process that died too early to be watched may still wait for its parent.
            status = _status_of_zombie(pid)
        if status is None or not os.WIFSIGNALED(status):
            return None
        number = os.WTERMSIG(status)
        try:
            return None if number in STOP_REQUESTS else signal.Signals(number).name
        except ValueError:
            return f"signal {number}"  # most real-time signals have no name


def _status_of_reaped(descriptor: int) -> int | None:
    buffer = bytearray(INFO.pack(EXIT_KNOWN, *[0] * 13))
    try:
        fcntl.ioctl(descriptor, GET_INFO, buffer)
    except OSError:
        return None  # an older kernel
    mask, _, *fields = INFO.unpack(buffer)
    return fields[-1] if mask & EXIT_KNOWN else None


def _status_of_zombie(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[-1]) if fields[0] == b"Z" else None
