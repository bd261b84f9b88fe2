"""The head's receiver of parts: an HTTP server over a directory, made with the standard library's server.

    GET  /parts/<path>  X-Size, X-Digest, X-File        → {"is_stored": ..., "offset": ...}
    PUT  /parts/<path>  X-Size, X-Digest, X-Offset      → 201: the part is on the disk, flushed, under its final name
    POST /nodes/<recording>/<node>  JSON                → {"time_ns": ...}: the head's clock

Guarantees:

- A part gets its final name only when all of its bytes are there and their SHA-256 is right. A kill leaves a `.partial`
  file, and the next upload continues it.
- Each request is signed with the job's secret; the receiver reads no content of any other request. Its
  answers are signed, too.
- A path cannot lead out of the directory. Sizes are bounded, and the disk keeps `MIN_FREE_BYTES`.

Each connection has a thread of its own, at most `MAX_THREADS`. At most `MAX_KEPT` connections stay open after an
answer. So more nodes than threads take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerun_mp.errors import InvalidArgumentError
from rerun_mp.shipping.parts import NODES, PartName, file_mark, node_directory, sync_directory
from rerun_mp.shipping.signing import ANSWER, is_signed, sign
from rerun_mp.standard_error import tell

if TYPE_CHECKING:
    import socket
    from typing import BinaryIO

__all__ = ["Receiver"]

BLOCK_BYTES = 1 << 20
MAX_PART_BYTES = 1 << 40
"""Maximum size of a part, in bytes."""
MAX_STATUS_BYTES = 1 << 16
"""Maximum size of what a node says about itself, in bytes."""
MIN_FREE_BYTES = 256 << 20
"""Bytes that stay free on the head's disk."""
MAX_THREADS = 64
"""Maximum number of connections at a time. A further one waits for a thread, or its node tries again."""
MAX_KEPT = 48
"""Maximum number of connections that stay open after an answer."""
THREAD_SECS = 1.0
"""Maximum seconds that a connection waits for a thread. The receiver accepts no other one meanwhile."""
SAID = (403, 422, 507)
"""Statuses of refusals that the head's user can do something about."""
SAY_SECS = 60.0
"""Seconds after which the head says again why it refuses a host."""
MAX_REASONS = 256
"""Maximum number of refusals that the head remembers. Beyond it, it forgets all of them."""
REQUEST_SECS = 30.0
"""Seconds after which a connection that sends nothing is closed."""


class Receiver(ThreadingHTTPServer):
    """Receives parts into a directory. `serve_forever` serves; any thread may call `shutdown`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, directory: Path, token: str, host: str, port: int) -> None:
        self.directory = directory
        self.token = token
        self._free_threads = threading.BoundedSemaphore(MAX_THREADS)
        self.free_to_keep = threading.BoundedSemaphore(MAX_KEPT)
        """Counts the connections that may stay open besides those that do."""
        self._said: dict[tuple[str, int], float] = {}
        """When the head last told its user of a refusal (monotonic seconds), by host and status."""
        super().__init__((host, port), _Handler)
        # By this directory a program knows that its own parts must wait in another one.
        (directory / NODES).mkdir(parents=True, exist_ok=True)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread of its own, or close it if there are too many."""
        if self._free_threads.acquire(timeout=THREAD_SECS):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Handle a connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free_threads.release()

    def say_refused(self, host: str, status: int, reason: str) -> None:
        """Tell the head's user why a host is refused, once a minute for each status. Any thread may call."""
        now = time.monotonic()
        if now >= self._said.get((host, status), -SAY_SECS) + SAY_SECS:
            if len(self._said) >= MAX_REASONS:
                self._said.clear()
            self._said[host, status] = now
            tell(f"rerun-mp: the head refuses {host}: {reason}\n")

    def handle_error(self, request: socket.socket | Any, client_address: Any) -> None:
        """Say nothing about a connection that broke: its node tries again."""


class _RefusedError(Exception):
    """A request that is answered with this status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _NodeGoneError(Exception):
    """The node has closed its connection, or has sent nothing for `REQUEST_SECS`. It gets no answer."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    _is_kept = False
    """Whether this connection may stay open after an answer."""
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_SECS
    wbufsize = -1
    """An answer is one packet: a second one would wait until the node acknowledges the first, for up to 40 ms."""

    def do_GET(self) -> None:
        self._answer(self._ask)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def do_POST(self) -> None:
        self._answer(self._note)

    def finish(self) -> None:
        """Close the connection."""
        if self._is_kept:
            self.server.free_to_keep.release()
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class's name)
        """Write no line for each request."""

    def _answer(self, act: Any) -> None:
        try:
            status, answer = act()
        except _RefusedError as refused:
            status, answer = refused.status, {"error": str(refused)}
            self.close_connection = True  # the request's content has not been read
        except InvalidArgumentError as error:
            status, answer = 400, {"error": str(error)}
            self.close_connection = True
        except _NodeGoneError:
            self.close_connection = True
            return
        except OSError as error:
            status, answer = 507, {"error": f"the head cannot write {error.filename or ''}: {error.strerror or error}"}
            self.close_connection = True
        if status in SAID:
            self.server.say_refused(self.client_address[0], status, answer["error"])
        self._is_kept = self._is_kept or self.server.free_to_keep.acquire(blocking=False)
        text = json.dumps(answer)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header(ANSWER, sign(self.server.token, self.headers.get("Authorization", ""), text))
        if self.close_connection or not self._is_kept:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(text.encode())

    def _check(self, *facts: str) -> None:
        if not is_signed(self.server.token, self.headers.get("Authorization"), self.command, self.path, *facts):
            raise _RefusedError(
                403, "the request is not signed with the secret of this head's job, or was changed on its way"
            )

    def _number(self, name: str, maximum: int) -> int:
        text = self.headers.get(name, "")
        if not text.isdecimal() or int(text) > maximum:
            raise _RefusedError(413, f"{name} must be a number of at most {maximum}, not {text[:40]!r}")
        return int(text)

    def _part(self) -> tuple[Path, int, str]:
        """Return path, size and digest of the part that the request names."""
        size, digest = self._number("X-Size", MAX_PART_BYTES), self.headers.get("X-Digest", "")
        self._check(str(size), digest, self.headers.get("X-Offset", ""))
        name = PartName.parse(self.path.removeprefix("/parts/"))
        return self.server.directory / name.path, size, digest

    def _ask(self) -> tuple[int, dict[str, Any]]:
        path, size, digest = self._part()
        if _is_stored(path, size, digest):
            if self.headers.get("X-File") == file_mark(path):
                raise _RefusedError(
                    409, f"{path} is the part's own file; parts that wait need another directory than the head's"
                )
            return 200, {"is_stored": True, "offset": size}
        partial = _partial(path, digest)
        offset = partial.stat().st_size if partial.exists() else 0
        self._check_room(size - offset)  # a node reads an answer to a large part only when it has sent all of it
        return 200, {"is_stored": False, "offset": offset}

    def _put(self) -> tuple[int, dict[str, Any]]:
        path, size, digest = self._part()
        offset, length = self._number("X-Offset", size), self._number("Content-Length", size)
        if offset + length != size:
            raise _RefusedError(400, f"{offset} + {length} bytes are not the {size} of the part")
        self._check_room(length)
        if _is_stored(path, size, digest):
            raise _RefusedError(409, "the part is stored")
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path, digest)
        with partial.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise _RefusedError(409, "another upload of the part is running") from None
            if file.tell() != offset:
                raise _RefusedError(409, f"the part has {file.tell()} bytes, not {offset}")
            self._receive(file, length)
            file.flush()
            os.fsync(file.fileno())
            if _digest_of(partial) != digest:
                partial.unlink()
                raise _RefusedError(422, "the part's bytes do not have its digest; send it again from the beginning")
            with contextlib.suppress(FileExistsError):  # another node's upload of the same part came first
                os.link(partial, path)
            partial.unlink()
            sync_directory(path.parent)
        return 201, {"is_stored": True}

    def _check_room(self, length: int) -> None:
        disk = os.statvfs(self.server.directory)
        free = disk.f_bavail * disk.f_frsize
        if free < length + MIN_FREE_BYTES:
            raise _RefusedError(
                507,
                f"the disk of {self.server.directory} has {free:,} bytes free; a part of {length:,} bytes would leave "
                f"fewer than {MIN_FREE_BYTES:,}",
            )

    def _receive(self, file: BinaryIO, length: int) -> None:
        left = length
        while left:
            block = self._read(min(BLOCK_BYTES, left))
            file.write(block)
            left -= len(block)

    def _read(self, length: int) -> bytes:
        """Return so many bytes of the request, or fewer if the node closes its connection after them."""
        try:
            block = self.rfile.read(length)
        except OSError as error:
            raise _NodeGoneError from error
        if length and not block:
            raise _NodeGoneError
        return block

    def _note(self) -> tuple[int, dict[str, Any]]:
        content = self._read(self._number("Content-Length", MAX_STATUS_BYTES))
        self._check(hashlib.sha256(content).hexdigest())
        recording, _, node = self.path.removeprefix("/nodes/").partition("/")
        node_directory(self.server.directory, recording, node)  # checks the names
        try:
            status = json.loads(content)
            boot, order = status["boot"], int(status["order"])
        except (ValueError, KeyError, TypeError) as error:
            raise _RefusedError(400, "the status is no JSON object with boot and order") from error
        time_ns = time.time_ns()
        path = self.server.directory / NODES / recording / f"{node}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(path.read_text(encoding="utf-8"))
            if known["boot"] == boot and known["order"] > order:
                return 200, {"time_ns": time_ns}  # an old request that was repeated
        new = path.with_suffix(f".{threading.get_ident()}.new")
        new.write_text(json.dumps(status), encoding="utf-8")
        os.replace(new, path)
        return 200, {"time_ns": time_ns}


def _partial(path: Path, digest: str) -> Path:
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise _RefusedError(400, "X-Digest must be a SHA-256 in hex")
    return path.with_name(f".{path.name}.{digest[:16]}.partial")


def _is_stored(path: Path, size: int, digest: str) -> bool:
    """Say whether the part is there. Its name holds its node's nonce, so equal names are equal parts."""
    try:
        found = path.stat().st_size
        is_equal = found == size and _digest_of(path) == digest
    except FileNotFoundError:
        return False
    if not is_equal:
        how = f"with {found} bytes, not {size}" if found != size else "with other bytes"
        raise _RefusedError(422, f"the head has {path} {how}. If it is a copy that was cut off or damaged, remove it")
    return True


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
