"""The places that parts go to: the receiver of a head, or a directory that head and node share.

Each target belongs to one thread.

`store` returns when the part is durable at the target. It may be called again and again, after any fault.
"""

from __future__ import annotations

import contextlib
import filecmp
import glob
import hashlib
import http.client
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from rerun_mp.errors import ResourceError
from rerun_mp.shipping.parts import NODES, PartName, file_mark, sync_directory
from rerun_mp.shipping.signing import ANSWER, is_signed, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["ClockSample", "PartRefusedError", "Target", "open_target"]

BLOCK_BYTES = 1 << 20
CONNECT_SECS = 3.0
"""Maximum seconds to connect to a head, and until it answers a small request."""
ANSWER_SECS = 60.0
"""Maximum seconds until the head has flushed a part."""
KEPT_SECS = 20.0
"""Seconds for which a connection is used again. The head closes one after 30 s without a request."""
PART_STATUSES = (400, 409, 413, 422)
"""Statuses by which a head refuses one part, and perhaps not the next one."""


class PartRefusedError(ResourceError):
    """The target does not take this part. It may take others."""


class ClockSample(NamedTuple):
    """How far the head's clock is ahead of this host's."""

    offset_ns: int
    delay_ns: int
    """Time that the request took. The offset is right to half of it."""


class Target(Protocol):
    """A place for parts."""

    name: str

    def store(self, part: PartName, path: Path, may_go_on: Callable[[], bool]) -> None:
        """Store one part. `may_go_on` is asked after each block: the rest is for a later call if it says no.

        Raises
        ------
        PartRefusedError
            If the target refuses this part.
        ResourceError
            If the target does not take it now.
        """

    def note(self, recording: str, node: str, status: Mapping[str, Any]) -> ClockSample | None:
        """Say how the node is. Returns a sample of the head's clock, if the target has one.

        Raises
        ------
        ResourceError
            If the target is away.
        """

    def close(self) -> None:
        """Let go of the target."""


def open_target(target: str, token: str) -> Target:
    """Return the target with this URL or path."""
    return HeadTarget(target, token) if target.startswith(("http://", "https://")) else DirectoryTarget(target)


class DirectoryTarget:
    """A directory. Other hosts may see it by NFS, or bring it elsewhere by rsync."""

    def __init__(self, directory: str) -> None:
        self.name = directory

    def store(self, part: PartName, path: Path, may_go_on: Callable[[], bool]) -> None:
        """Copy the part to a hidden name, flush it, and rename it.

        The name is this process's own: two shippers may copy one part from a file system without locks.
        """
        final = os.path.join(self.name, part.path)
        hidden = os.path.join(os.path.dirname(final), f".{part.file}.{socket.gethostname()}.{os.getpid()}.partial")
        try:
            if os.path.exists(final):
                if os.path.samefile(final, path):
                    raise PartRefusedError(
                        f"{self.name} is the directory of the parts that wait; give them another one to go to"
                    )
                if not filecmp.cmp(final, path, shallow=False):
                    raise PartRefusedError(
                        f"{final} is another file than {path}. If it is a copy that was cut off or damaged, remove it"
                    )
                return
            os.makedirs(os.path.dirname(final), exist_ok=True)
            with path.open("rb") as source, open(hidden, "wb") as copy:
                while block := source.read(BLOCK_BYTES):
                    copy.write(block)
                    if not may_go_on():
                        raise ResourceError(f"{part.path} is not copied yet")
                copy.flush()
                os.fsync(copy.fileno())
            os.rename(hidden, final)
            # Killed shippers left these. A shipper that still copies fails, and finds the part at its next attempt.
            for name in glob.glob(os.path.join(glob.escape(os.path.dirname(final)), f".{part.file}.*partial")):
                os.unlink(name)
            sync_directory(os.path.dirname(final))
        except ResourceError:
            raise
        except OSError as error:
            raise ResourceError(f"{self.name} takes no part: {error.strerror}") from error

    def note(self, recording: str, node: str, status: Mapping[str, Any]) -> ClockSample | None:
        """Write the status to a file."""
        path = os.path.join(self.name, NODES, recording, f"{node}.json")
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path + ".new", "w", encoding="utf-8") as file:
                json.dump(dict(status), file)
            os.replace(path + ".new", path)
        except OSError as error:
            raise ResourceError(f"{self.name} cannot be written: {error.strerror}") from error
        return None

    def close(self) -> None:
        """Do nothing: a directory needs no connection."""


class HeadTarget:
    """The receiver of a head."""

    def __init__(self, url: str, token: str) -> None:
        self.name = url
        self._token = token
        self._connection: http.client.HTTPConnection | None = None
        self._answered_secs = 0.0
        """When the head answered last (monotonic seconds)."""

    def store(self, part: PartName, path: Path, may_go_on: Callable[[], bool]) -> None:
        """Upload the part, from where an earlier upload has ended."""
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            where, facts = f"/parts/{part.path}", {"X-Size": str(size), "X-Digest": digest}
            known = self._request("GET", where, {**facts, "X-File": file_mark(path)}, signed=(str(size), digest, ""))
            if known["is_stored"]:
                return
            offset = min(int(known["offset"]), size)
            file.seek(offset)
            facts |= {"X-Offset": str(offset), "Content-Length": str(size - offset)}

            def blocks() -> Any:
                while block := file.read(BLOCK_BYTES):
                    yield block
                    if not may_go_on():
                        raise ResourceError(f"{part.path} is not at {self.name} yet")

            signed = (str(size), digest, str(offset))
            self._request("PUT", where, facts, blocks(), signed=signed, timeout=ANSWER_SECS)

    def note(self, recording: str, node: str, status: Mapping[str, Any]) -> ClockSample | None:
        """Post the status, and read the head's clock."""
        content = json.dumps(status).encode()
        signed = (hashlib.sha256(content).hexdigest(),)
        begin = time.time_ns()
        answer = self._request("POST", f"/nodes/{recording}/{node}", {}, content, signed=signed)
        end = time.time_ns()
        return ClockSample(int(answer["time_ns"]) - (begin + end) // 2, end - begin)

    def _request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: Any = None,
        *,
        signed: tuple[str, ...],
        timeout: float = CONNECT_SECS,
    ) -> dict[str, Any]:
        """Make a request, and return its answer."""
        headers = {**headers, "Authorization": sign(self._token, method, path, *signed)}
        if time.monotonic() > self._answered_secs + KEPT_SECS:
            self.close()
        connection = self._connection or self._connect()
        self._connection = None  # it is kept only after an answer
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            connection.timeout = timeout
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise ResourceError(f"{self.name} does not answer: {error or type(error).__name__}") from error
        except BaseException:
            connection.close()
            raise
        text = content.decode("utf-8", "replace")
        signature = response.headers.get(ANSWER)
        if response.status >= 300 or not is_signed(self._token, signature, headers["Authorization"], text):
            connection.close()
            raise self._refusal(response.status, text)
        self._answered_secs = time.monotonic()
        self._connection = None if response.will_close else connection
        return dict(json.loads(text))

    def _refusal(self, status: int, text: str) -> ResourceError:
        """Return the error of an answer that is no consent."""
        if status < 300:
            return ResourceError(
                f"{self.name} gives an answer that is not signed with the secret of this job's head; another server "
                "may listen there, or a proxy may change answers"
            )
        try:
            reason = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            reason = f"status {status} without a reason; it may be a proxy, or another server"
        if status in PART_STATUSES:
            return PartRefusedError(f"{self.name} refuses: {reason}")
        return ResourceError(f"{self.name} refuses: {reason}")

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.name)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            return kind(parts.hostname or "127.0.0.1", parts.port, timeout=CONNECT_SECS)
        except ValueError as error:
            raise ResourceError(f"{self.name} is no address of a head: {error}") from error

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()
