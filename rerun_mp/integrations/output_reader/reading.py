"""Reads the captured sockets, logs each line, and passes the bytes on. Belongs to the reader's only thread."""

from __future__ import annotations

import os
import selectors
import socket
import struct
from contextlib import suppress

from rerun_mp.api import log as rows
from rerun_mp.api.routing import flush
from rerun_mp.errors import RerunMpError
from rerun_mp.fast import TextLog
from rerun_mp.integrations.output_reader import FIRST_DESCRIPTOR, HAS_PAUSED, STOP

__all__ = ["Lines", "Reader"]

PIECE_BYTES = 64 << 10
"""Maximum bytes that are read at once, and of a line. A longer line becomes several rows."""
MAX_UNFINISHED = 1024
"""Maximum number of unfinished lines, one for each process. Beyond it, the oldest line becomes a row."""
CREDENTIALS = struct.Struct("3i")
"""The kernel's `struct ucred`: process, user and group of the writer."""
NAMES = {1: "stdout", 2: "stderr"}
LEVELS = {1: "INFO", 2: "WARN"}


class Lines:
    """Makes lines of what processes write to one stream."""

    def __init__(self) -> None:
        self._unfinished: dict[int, bytes] = {}
        """The unfinished line of each process, the longest unchanged first."""

    def add(self, pid: int, piece: bytes) -> list[tuple[int, str]]:
        """Return the lines that a piece completes, each with its process."""
        *complete, rest = (self._unfinished.pop(pid, b"") + piece).split(b"\n")
        found = [(pid, line) for line in complete]
        while len(rest) >= PIECE_BYTES:
            found.append((pid, rest[:PIECE_BYTES]))
            rest = rest[PIECE_BYTES:]
        if rest:
            self._unfinished[pid] = rest
        if len(self._unfinished) > MAX_UNFINISHED:
            oldest = next(iter(self._unfinished))
            found.append((oldest, self._unfinished.pop(oldest)))
        return [(writer, text) for writer, line in found if (text := _shown(line))]

    def finish(self) -> list[tuple[int, str]]:
        """Return the unfinished lines."""
        found, self._unfinished = self._unfinished, {}
        return [(pid, text) for pid, line in found.items() if (text := _shown(line))]


def _shown(line: bytes) -> str:
    """Return what a terminal shows of a line: a progress bar returns to its start, and writes it again."""
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")


class Reader:
    """Reads the sockets of `streams`, the numbers of the captured descriptors."""

    def __init__(self, entity_path: str, streams: list[int]) -> None:
        self._entity_path = entity_path
        self._control = socket.socket(fileno=FIRST_DESCRIPTOR)
        self._sockets = {
            number: socket.socket(fileno=FIRST_DESCRIPTOR + place) for place, number in enumerate(streams, start=1)
        }
        self._lines = {number: Lines() for number in streams}
        self._selector = selectors.DefaultSelector()
        self._control.setblocking(False)
        self._selector.register(self._control, selectors.EVENT_READ)
        for number, stream in self._sockets.items():
            stream.setblocking(False)
            self._selector.register(stream, selectors.EVENT_READ, number)

    def run(self) -> int:
        """Read until the last writer has ended, or the program stops the capture. Returns the exit status."""
        is_asked = False
        while self._sockets and not is_asked:
            for key, _ in self._selector.select():
                if key.data is None:
                    is_asked = self._is_asked()
                elif key.data in self._sockets:
                    self._read(key.data)
        for number in list(self._sockets):
            while number in self._sockets and self._read(number):
                pass
        for number, lines in self._lines.items():
            self._log(number, lines.finish())
        with suppress(RerunMpError):
            flush()
        return HAS_PAUSED if self._sockets else 0

    def _is_asked(self) -> bool:
        """Return whether the program asks that everything written until now be logged."""
        try:
            asked = self._control.recv(1)
        except OSError:
            asked = b""
        if not asked:
            self._selector.unregister(self._control)
        return asked == STOP

    def _read(self, number: int) -> bool:
        """Read and log one piece. Returns whether there was one."""
        try:
            piece, ancillary, _, _ = self._sockets[number].recvmsg(PIECE_BYTES, socket.CMSG_SPACE(CREDENTIALS.size))
        except BlockingIOError:
            return False
        except OSError:
            piece, ancillary = b"", []
        if not piece:
            self._selector.unregister(self._sockets[number])
            self._sockets.pop(number).close()
            return False
        pid = CREDENTIALS.unpack(ancillary[0][2])[0] if ancillary else 0
        self._log(number, self._lines[number].add(pid, piece))
        _pass_on(number, piece)
        return True

    def _log(self, number: int, lines: list[tuple[int, str]]) -> None:
        for pid, text in lines:
            rows.log(f"{self._entity_path}/{pid}/{NAMES[number]}", TextLog(text, level=LEVELS[number]))


def _pass_on(number: int, piece: bytes) -> None:
    """Write a piece to where the program's output went before. What it does not take is lost there."""
    with suppress(OSError):
        while piece:
            piece = piece[os.write(number, piece) :]
