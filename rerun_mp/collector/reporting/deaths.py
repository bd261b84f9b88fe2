"""Of what a producer died, as far as the kernel says it to who is not its parent.

Producers send a descriptor of their process (`births`); of others one is opened while their lease shows that they live,
so that the process id is their own. Once a producer is dead, either it waits for its parent still, and its exit status
can be read, or, from Linux 6.15 on, the descriptor tells it. Where neither is so, nothing is known and nothing is said.
Used by the worker's main thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct

from rerun_mp.shm import introductions as births

__all__ = ["Deaths"]

MAX_WATCHED = 32
"""Producers at one time, for each takes a descriptor, of which a collector has few. Of others little is known."""
GET_INFO = 0xC040FF0B
"""PIDFD_GET_INFO with the structure of 64 bytes."""
EXIT_KNOWN = 1 << 3
INFO = struct.Struct("<QQ12i")
REQUESTS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""By these processes are asked to end, as pools do with their workers. That is no crash."""


class Deaths:
    """Watches producers, told apart by any key."""

    def __init__(self) -> None:
        self._descriptors: dict[int, int] = {}

    def __del__(self) -> None:
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    def receive(self, mailbox: int) -> None:
        """Take the descriptors of those who have introduced themselves, as far as there is room."""
        for key, descriptor in births.received(mailbox):
            if key in self._descriptors or len(self._descriptors) >= MAX_WATCHED:
                os.close(descriptor)
            else:
                self._descriptors[key] = descriptor

    def watch(self, key: int, pid: int) -> None:
        """Begin to watch a producer that lives, if that is possible and has not been done."""
        if key in self._descriptors or len(self._descriptors) >= MAX_WATCHED or pid <= 0:
            return
        with contextlib.suppress(OSError, AttributeError):  # not there on other systems
            self._descriptors[key] = os.pidfd_open(pid)

    def has_ended(self, key: int) -> bool:
        """Return whether a producer has ended whose lease is free: it goes some moments before the process does."""
        if key not in self._descriptors:
            return True
        looked = select.poll()  # knows descriptors of any number
        looked.register(self._descriptors[key], select.POLLIN)
        return bool(looked.poll(0))

    def cause(self, key: int, pid: int) -> str | None:
        """Return the name of the signal that killed a producer; None if it was none, or unknown. Stops watching it."""
        status = None
        if key in self._descriptors:
            descriptor = self._descriptors.pop(key)
            try:
                status = _status_of_reaped(descriptor)
            finally:
                os.close(descriptor)
        if status is None:
            # Whoever was too short-lived to be watched may wait for its parent still.
            status = _status_of_zombie(pid)
        if status is None or not os.WIFSIGNALED(status):
            return None
        number = os.WTERMSIG(status)
        try:
            return None if number in REQUESTS else signal.Signals(number).name
        except ValueError:
            return f"signal {number}"  # of the real-time ones most have no name


def _status_of_reaped(descriptor: int) -> int | None:
    buffer = bytearray(INFO.pack(EXIT_KNOWN, *[0] * 13))
    try:
        fcntl.ioctl(descriptor, GET_INFO, buffer)
    except OSError:
        return None  # a kernel that does not know it
    mask, _, *fields = INFO.unpack(buffer)
    return fields[-1] if mask & EXIT_KNOWN else None


def _status_of_zombie(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return int(fields[-1]) if fields[0] == b"Z" else None
