"""A call is answered by a server that has taken its messages; everything else raises in time."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerun_mp.encoding import log_messages
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import MessageKind
from rerun_mp.errors import FlushTimeoutError, ResourceError
from rerun_mp.viewers.grpc_calls import DATA, END_STREAM, HEADERS, PING, SETTINGS, GrpcConnection
from tests.harness.servers import Server
from tests.harness.viewers import free_port

MARK = bytes(range(16))
INFO = log_messages.request(MessageKind.STORE_INFO, log_messages.store_info(RecordingKey("app", "recording"), MARK))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "saved.rrd", free_port())
    try:
        one.wait_until_listening()
        yield one
    finally:
        one.end()


def call(connection: GrpcConnection, timeout: float = 30.0) -> bytes:
    connection.begin(log_messages.WRITE_MESSAGES)
    connection.send(INFO)
    return connection.finish(timeout)


def test_calls_are_answered_one_after_the_other_and_the_server_has_what_they_brought(server: Server) -> None:
    connection = GrpcConnection("127.0.0.1", server.port)
    for _ in range(3):
        assert call(connection) == b""
    for mark, is_known in ((MARK, True), (os.urandom(16), False)):
        connection.begin(log_messages.READ_MESSAGES)
        connection.send(b"")
        has_mark = finder(log_messages.mark_of(mark))
        if is_known:
            assert connection.read_until(has_mark, 30.0)
        else:
            with pytest.raises(FlushTimeoutError):
                connection.read_until(has_mark, 0.2)
    assert call(connection) == b""
    connection.close()


def test_a_frozen_server_answers_after_it_is_awake_again(server: Server) -> None:
    connection = GrpcConnection("127.0.0.1", server.port)
    server.freeze()
    with pytest.raises(FlushTimeoutError):
        call(connection, 0.1)
    server.thaw()
    assert connection.finish(30.0) == b""
    connection.close()


def test_a_server_that_is_gone_raises(server: Server) -> None:
    connection = GrpcConnection("127.0.0.1", server.port)
    call(connection)
    server.end()
    with pytest.raises(ResourceError):
        call(connection)
    with pytest.raises(ResourceError):
        GrpcConnection("127.0.0.1", server.port)
    connection.close()


def finder(sought: bytes) -> Callable[[bytearray], bool]:
    return lambda answer: sought in answer


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I BI", len(payload) << 8 | kind, flags, stream) + payload


ANSWER = frame(DATA, 0, 1, bytes(5)) + frame(HEADERS, END_STREAM | 4, 1, b"\x88")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (frame(SETTINGS, 0, 0) + frame(PING, 0, 0, bytes(8)) + ANSWER, None),
        (frame(SETTINGS, 0, 0) + frame(HEADERS, END_STREAM | 4, 1, b"\x88"), "refuses the call"),
        (frame(SETTINGS, 0, 0) + frame(3, 0, 1, bytes(4)), "has cut off the call"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no gRPC server"),
        (b"", "has closed the connection"),
    ],
)
def test_the_frames_of_the_server_decide(sent: bytes, error: str | None) -> None:
    with (
        playing(lambda client: client.sendall(sent)) as port,
        contextlib.closing(GrpcConnection("127.0.0.1", port)) as connection,
    ):
        if error is None:
            assert call(connection) == b""
        else:
            with pytest.raises(ResourceError, match=error):
                call(connection)


class playing:  # noqa: N801 (used like a function)
    """A server that does one thing after the headers of the first call, and closes when all was read."""

    def __init__(self, play: Callable[[socket.socket], None]) -> None:
        self._play = play
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        client, _ = self._listener.accept()
        received = b""
        with contextlib.suppress(ConnectionError), client:  # the client may close before it has read all
            while b"trailers" not in received:  # the call's headers
                received += client.recv(1 << 16)
            self._play(client)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass

    def __enter__(self) -> int:
        self._thread.start()
        port: int = self._listener.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listener.close()
