"""`speaks_http2`: check that the other side of a connection speaks HTTP/2 (RFC 9113), as every gRPC server does.

An accepted connection proves little: the kernel accepts connections for a frozen program, and any program may listen on
a port. Any thread of any process may call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

__all__ = ["speaks_http2"]

SETTINGS_FRAME = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, SETTINGS_FRAME, 0, 0, 0, 0, 0))
"""A client's first bytes: the preface and an empty SETTINGS frame (3.4, 6.5). The server answers with its SETTINGS."""
FRAME_HEADER = 9
"""Size in bytes of a frame's header: length (3), type (1), flags (1), stream (4)."""


def speaks_http2(connection: socket.socket, timeout: float) -> bool:
    """Open HTTP/2 on a new connection, and return whether a server answers within `timeout` seconds."""
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
