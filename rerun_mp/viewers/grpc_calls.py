"""Calls to a gRPC server over HTTP/2 (RFC 9113), with an answer that says that the server has taken every message.

rerun-sdk makes one call for as long as a program runs. Its flush returns when the last message has left for the kernel.
If the server dies then, it is unknown how much the server had taken. A server answers a call when it has taken the last
message of that call. So this client makes one short call after the other on one connection.

    connection   preface, SETTINGS ◄──► SETTINGS
    call         HEADERS (path), DATA (messages, within both windows), END_STREAM ──►
                 ◄── HEADERS, DATA (the answer: one message), HEADERS with END_STREAM
                 or, if the server refuses the call: ◄── HEADERS with END_STREAM, or RST_STREAM

No header of the server need be read: only a call that succeeded has an answer in DATA. A connection belongs to one
thread. No call here blocks for longer than its timeout.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections import deque
from typing import TYPE_CHECKING

from rerun_mp.errors import FlushTimeoutError, ResourceError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GrpcConnection"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME = struct.Struct(">I BI")
"""Length (24 bits) and type (8 bits), flags, stream."""
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
PADDED = 8
HEADER_TABLE_SIZE, ENABLE_PUSH, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 4, 5
"""Settings."""
DEFAULT_WINDOW = 65_535
MAX_WINDOW = (1 << 31) - 1
OWN_FRAME_BYTES = 16_384
"""Maximum payload of a frame that this side takes: the default."""
MAX_SENT_FRAME_BYTES = 256 << 10
"""Maximum payload of a frame that this side sends, if the server takes such frames."""
OUT_BYTES = 512 << 10
"""Bytes that are framed ahead of the kernel."""
CANCEL = 8


class GrpcConnection:
    """One connection to a gRPC server.

    Parameters
    ----------
    host, port
        The server.
    is_secure
        Whether to use TLS, with the certificates that the system trusts.
    timeout
        Maximum seconds to connect.

    Raises
    ------
    ResourceError
        If no server accepts the connection.
    """

    def __init__(self, host: str, port: int, *, is_secure: bool = False, timeout: float = 5.0) -> None:
        self.target = f"{host}:{port}"
        self._authority = self.target.encode()
        self._is_secure = is_secure
        try:
            self._socket = socket.create_connection((host, port), timeout)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if is_secure:
                import ssl

                context = ssl.create_default_context()
                context.set_alpn_protocols(["h2"])
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except OSError as error:
            raise ResourceError(f"nothing answers at {self.target}: {error}") from error
        self._socket.setblocking(False)
        settings = struct.pack(">HIHI", HEADER_TABLE_SIZE, 0, ENABLE_PUSH, 0)
        self._out = bytearray(PREFACE + _frame(SETTINGS, 0, 0, settings))
        self._in = bytearray()
        self._frame_bytes = OWN_FRAME_BYTES
        self._first_window = DEFAULT_WINDOW
        self._window = DEFAULT_WINDOW
        """Bytes that the server takes on the connection."""
        self._stream_window = 0
        """Bytes that the server takes in the present call."""
        self._stream = -1
        """Number of the present call, or of the last one."""
        self._body: deque[memoryview] = deque()
        self._has_end = self._has_sent_end = True
        self._is_over = True
        """Whether the server has ended the present call."""
        self._is_closing = False
        """Whether the server takes no more calls on this connection."""
        self._loss: str | None = None
        """Why the connection is of no use any more. Answers that came before count."""
        self._answer = bytearray()
        self._on_answer: Callable[[bytearray], None] | None = None

    @property
    def is_calling(self) -> bool:
        """Whether a call has begun and has no answer yet."""
        return not self._is_over

    def begin(self, path: str) -> None:
        """Begin a call. Its messages follow.

        Raises
        ------
        ResourceError
            If the server is about to close the connection.
        """
        assert self._is_over
        self._raise_if_lost()
        self._stream += 2
        self._stream_window = self._first_window
        self._has_end = self._has_sent_end = self._is_over = False
        self._answer.clear()
        scheme = b"\x87" if self._is_secure else b"\x86"
        block = b"".join(
            (
                b"\x83",  # :method POST, :scheme, :path, :authority by their numbers in HPACK's static table
                scheme,
                b"\x04" + _text(path.encode()),
                b"\x01" + _text(self._authority),
                b"\x0f\x10" + _text(b"application/grpc"),  # content-type
                b"\x00" + _text(b"te") + _text(b"trailers"),
            )
        )
        self._out += _frame(HEADERS, END_HEADERS, self._stream, block)

    def send(self, message: bytes) -> None:
        """Queue one message of the present call."""
        self._body.append(memoryview(struct.pack(">BI", 0, len(message)) + message))

    def push(self) -> None:
        """End the present call's messages, and give the kernel what it takes now. Never waits; `finish` goes on."""
        self._has_end = True
        self._fill()
        self._write()

    def finish(self, timeout: float) -> bytes:
        """Send the rest of the present call, end it, and return its answer.

        Raises
        ------
        FlushTimeoutError
            If the server has not answered within `timeout` seconds. Calling again goes on.
        ResourceError
            If the server is gone, or refuses the call.
        """
        self._has_end = True
        if not self._run(lambda: self._is_over, timeout):
            raise FlushTimeoutError(f"{self.target} did not answer within {timeout:g} s")
        if len(self._answer) < 5:
            raise ResourceError(f"{self.target} refuses the call")
        return bytes(self._answer[5:])

    def read_until(self, condition: Callable[[bytearray], bool], timeout: float) -> bool:
        """End the present call's messages, and read answers until `condition` holds or the server ends the call.

        Returns
        -------
        bool
            Whether `condition` held, for the bytes of all answers. The call is over then.

        Raises
        ------
        FlushTimeoutError
            If neither happened within `timeout` seconds. The call is cancelled.
        ResourceError
            If the server is gone.
        """
        self._has_end = True
        is_met = False

        def is_done() -> bool:
            nonlocal is_met
            is_met = condition(self._answer)
            return is_met or self._is_over

        is_in_time = self._run(is_done, timeout)
        if not self._is_over:
            self._out += _frame(RST_STREAM, 0, self._stream, struct.pack(">I", CANCEL))
            self._is_over = self._has_sent_end = True
            self._body.clear()
        if not is_in_time:
            raise FlushTimeoutError(f"{self.target} did not answer within {timeout:g} s")
        return is_met

    def check(self) -> None:
        """Answer the frames that the server has sent meanwhile. Never waits.

        Raises
        ------
        ResourceError
            If the server is gone.
        """
        self._run(lambda: True, 0.0)
        self._raise_if_lost()

    def close(self) -> None:
        """Close the connection. A call without an answer is cut off."""
        self._socket.close()

    # Frames

    def _run(self, is_done: Callable[[], bool], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            self._fill()
            self._write()
            self._read()
            if is_done():
                return True
            if self._loss is not None:
                raise ResourceError(self._loss)
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if not self._may_fill():
                poll = select.poll()
                poll.register(self._socket, select.POLLIN | (select.POLLOUT if self._out else 0))
                poll.poll(1000 * left)

    def _raise_if_lost(self) -> None:
        if self._loss is not None or self._is_closing:
            raise ResourceError(self._loss or f"{self.target} closes the connection")

    def _may_fill(self) -> bool:
        """Whether more of the call can be framed now."""
        if self._is_over or self._has_sent_end or len(self._out) >= OUT_BYTES:
            return False
        return min(self._window, self._stream_window) > 0 if self._body else self._has_end

    def _fill(self) -> None:
        while self._may_fill():
            if not self._body:
                self._out += _frame(DATA, END_STREAM, self._stream)
                self._has_sent_end = True
                return
            head = self._body[0]
            size = min(len(head), self._frame_bytes, self._window, self._stream_window)
            self._out += _frame(DATA, 0, self._stream, head[:size])
            self._window -= size
            self._stream_window -= size
            if size == len(head):
                self._body.popleft()
            else:
                self._body[0] = head[size:]

    def _write(self) -> None:
        """Write as much as the kernel takes."""
        while self._out and self._loss is None:
            try:
                sent = self._socket.send(self._out[:OUT_BYTES])
            except OSError as error:
                if not _is_not_ready(error):
                    self._loss = f"{self.target} is gone: {error}"
                return
            del self._out[:sent]

    def _read(self) -> None:
        while True:
            try:
                received = self._socket.recv(1 << 16)
            except OSError as error:
                if not _is_not_ready(error):
                    self._loss = self._loss or f"{self.target} is gone: {error}"
                return
            if not received:
                self._loss = self._loss or f"{self.target} has closed the connection"
                return
            self._in += received
            while len(self._in) >= 9:
                first, flags, stream = FRAME.unpack_from(self._in)
                length, kind = first >> 8, first & 0xFF
                if length > OWN_FRAME_BYTES:
                    raise ResourceError(f"{self.target} is no gRPC server: it sends no frames of HTTP/2")
                if len(self._in) < 9 + length:
                    break
                payload = bytes(self._in[9 : 9 + length])
                del self._in[: 9 + length]
                self._take(kind, flags, stream & MAX_WINDOW, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        is_present = stream == self._stream and not self._is_over
        if kind == DATA:
            self._take_data(flags, payload, is_present=is_present)
        elif kind == SETTINGS and not flags & ACK:
            self._adopt(payload)
            self._out += _frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += _frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE:
            credit = int.from_bytes(payload[:4], "big") & MAX_WINDOW
            if stream == 0:
                self._window += credit
            elif is_present:
                self._stream_window += credit
        elif kind == RST_STREAM and is_present:
            # A server that has answered may say that it needs no more of the call.
            if len(self._answer) < 5:
                self._end_call()
                raise ResourceError(f"{self.target} has cut off the call")
            self._end_call()
        elif kind == GOAWAY:
            self._is_closing = True
        if kind in (DATA, HEADERS) and is_present and flags & END_STREAM:
            self._end_call()

    def _take_data(self, flags: int, payload: bytes, *, is_present: bool) -> None:
        credit = struct.pack(">I", len(payload))
        if payload:
            self._out += _frame(WINDOW_UPDATE, 0, 0, credit)
        if is_present:
            self._answer += payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
            if payload and not flags & END_STREAM:
                self._out += _frame(WINDOW_UPDATE, 0, self._stream, credit)

    def _end_call(self) -> None:
        self._is_over = True
        self._body.clear()

    def _adopt(self, settings: bytes) -> None:
        for at in range(0, len(settings) - 5, 6):
            name, value = struct.unpack_from(">HI", settings, at)
            if name == INITIAL_WINDOW_SIZE:
                self._stream_window += value - self._first_window
                self._first_window = value
            elif name == MAX_FRAME_SIZE:
                self._frame_bytes = min(value, MAX_SENT_FRAME_BYTES)


def _frame(kind: int, flags: int, stream: int, payload: bytes | memoryview = b"") -> bytes:
    return FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


def _text(text: bytes) -> bytes:
    """Return a text of HPACK (RFC 7541, 5.2), not compressed."""
    length = len(text)
    if length < 127:
        return bytes((length,)) + text
    encoded = bytearray((127,))
    length -= 127
    while length >= 128:
        encoded.append(length % 128 + 128)
        length //= 128
    encoded.append(length)
    return bytes(encoded) + text


def _is_not_ready(error: OSError) -> bool:
    """Whether a socket that does not block has nothing to read, or takes nothing now."""
    return isinstance(error, BlockingIOError) or type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
