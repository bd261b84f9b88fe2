"""Sends a recording to a viewer or server in calls that it answers. It has all messages of an answered call.

A server that answers has put every message of the call into its own queue. If the server is killed after that, it loses
the messages that its viewer or its file had not taken yet. No client can know that.

Each sink marks the servers that it sends to. The mark is the row id of the store info that begins a recording. No
viewer shows it, and every server keeps it and sends it to its readers. A server that still has this sink's mark is the
process that answered before, also behind a tunnel, and it has what it answered for. A server without the mark was
started anew, or keeps nothing (`--server-memory-limit 0`). It gets everything again.

Belongs to one thread at a time.
"""

from __future__ import annotations

import base64
import socket
from urllib.parse import urlsplit

from rerun_mp.encoding import log_messages
from rerun_mp.encoding.frames import RecordingKey
from rerun_mp.encoding.rrd_files import MessageKind
from rerun_mp.errors import ResourceError
from rerun_mp.session.config import Blueprint
from rerun_mp.viewers.grpc_calls import GrpcConnection
from rerun_mp.viewers.http2 import speaks_http2

__all__ = ["AcknowledgedCalls", "address_of", "is_awake"]

DEFAULT_PORT = {"rerun+http": 9876, "rerun+https": 443, "rerun": 443}
"""Ports of URLs that name none, as in rerun."""
MAX_MARK_BYTES = 1 << 20
"""Maximum bytes of a server's answer that are searched for a mark: it sends store infos and blueprints first."""


class AcknowledgedCalls:
    """A connection to the server at `url` that sends one recording.

    Raises
    ------
    ResourceError
        If no server accepts the connection.
    """

    def __init__(self, url: str, recording: RecordingKey, *, connect_secs: float) -> None:
        host, port, is_secure = address_of(url)
        self._recording = recording
        self._connection = GrpcConnection(host, port, is_secure=is_secure, timeout=connect_secs)

    def knows(self, mark: bytes, timeout_secs: float) -> bool:
        """Return whether the server has the mark.

        Raises
        ------
        FlushTimeoutError
            If the server sends nothing within `timeout_secs`: it has no recording at all, or it is frozen.
        ResourceError
            If the server is gone.
        """
        sought = log_messages.mark_of(mark)
        self._connection.begin(log_messages.READ_MESSAGES)
        self._connection.send(b"")
        found = False

        def is_decided(answer: bytearray) -> bool:
            nonlocal found
            found = sought in answer
            return found or len(answer) > MAX_MARK_BYTES

        self._connection.read_until(is_decided, timeout_secs)
        return found

    def send_mark(self, mark: bytes) -> None:
        """Begin the recording with a mark of 16 bytes."""
        self._send(log_messages.request(MessageKind.STORE_INFO, log_messages.store_info(self._recording, mark)))

    def send_blueprint(self, blueprint: Blueprint) -> None:
        """Send a blueprint of the recording's application.

        Raises
        ------
        ResourceError
            If it cannot be read.
        """
        try:
            content = base64.b64decode(blueprint.data)
        except ValueError as error:
            raise ResourceError(f"the blueprint cannot be read: {error}") from error
        for message in log_messages.blueprint_messages(
            self._recording.application_id,
            content,
            make_active=blueprint.make_active,
            make_default=blueprint.make_default,
        ):
            self._send(message)

    def send(self, payload: bytes) -> None:
        """Send one chunk, as its message in an .rrd file. Never waits."""
        self._send(log_messages.request(MessageKind.CHUNK, payload))

    def _send(self, message: bytes) -> None:
        if not self._connection.is_calling:
            self._connection.begin(log_messages.WRITE_MESSAGES)
        self._connection.send(message)

    def push(self) -> None:
        """Give the kernel what was sent, as far as it takes it now. Never waits; `flush` waits for the answer."""
        self._connection.push()

    def flush(self, timeout_secs: float) -> None:
        """Wait until the server has answered for everything that was sent. If nothing was sent, check that it is there.

        Raises
        ------
        FlushTimeoutError
            If it has not within `timeout_secs`. Calling again goes on.
        ResourceError
            If the server is gone, or refuses what was sent.
        """
        if self._connection.is_calling:
            self._connection.finish(timeout_secs)
        else:
            self._connection.check()

    def close(self) -> None:
        """Close the connection. Messages without an answer may or may not have arrived."""
        self._connection.close()


def address_of(url: str) -> tuple[str, int, bool]:
    """Return host and port of a sink's URL, and whether its connections are encrypted."""
    parts = urlsplit(url)
    port = DEFAULT_PORT.get(parts.scheme, 9876) if parts.port is None else parts.port
    return parts.hostname or "127.0.0.1", port, parts.scheme != "rerun+http"


def is_awake(url: str, timeout_secs: float) -> bool:
    """Return whether the server at `url` itself answers, and not the kernel for it. Not known if it is encrypted."""
    host, port, is_secure = address_of(url)
    if is_secure:
        return False
    try:
        with socket.create_connection((host, port), timeout_secs) as connection:
            return speaks_http2(connection, timeout_secs)
    except OSError:
        return False
