"""Only a server that answers with a SETTINGS frame speaks HTTP/2."""

from __future__ import annotations

import socket
import struct

import pytest

from rerun_mp.viewers.http2 import PREFACE, SETTINGS_FRAME, speaks_http2


def frame(kind: int, stream: int = 0) -> bytes:
    """Return the header of an empty frame."""
    return bytes((0, 0, 0, kind, 0)) + struct.pack(">I", stream)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (frame(SETTINGS_FRAME), True),
        (frame(SETTINGS_FRAME) + b"more", True),
        (frame(SETTINGS_FRAME, stream=1), False),
        (frame(0), False),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False),
    ],
)
def test_the_answer_to_the_preface_decides(answer: bytes, expected: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        assert speaks_http2(ours, 5.0) is expected
        assert theirs.recv(100) == PREFACE


def test_a_closed_connection_is_no_server() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        assert speaks_http2(ours, 5.0) is False


def test_a_connection_that_stays_silent_is_no_server() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert speaks_http2(ours, 0.05) is False
