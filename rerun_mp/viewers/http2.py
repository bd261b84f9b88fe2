"""Whether the other side of a connection speaks HTTP/2, as every gRPC server does: RFC 9113.

That somebody accepts connections says little: the kernel accepts them for a program that is frozen, and anything may
listen on a port. Any thread of any process may call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["speaks_http2"]

SETTINGS_FRAME = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, SETTINGS_FRAME, 0, 0, 0, 0, 0))
"""What a client opens a connection with, and its empty SETTINGS frame (3.4, 6.5). A server's own comes in return."""
FRAME_HEADER = 9
"""Bytes: length (3), type (1), flags (1), stream (4)."""


def speaks_http2(connection: socket.socket, timeout: float) -> bool:
    """Open HTTP/2 on a fresh connection, and return whether a server answers that within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    answer = b""
    try:
        connection.settimeout(timeout)
        connection.sendall(PREFACE)
        while len(answer) < FRAME_HEADER:
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            received = connection.recv(FRAME_HEADER - len(answer))
            if not received:
                return False
            answer += received
    except OSError:
        return False
    return answer[3] == SETTINGS_FRAME and answer[5:] == bytes(4)
