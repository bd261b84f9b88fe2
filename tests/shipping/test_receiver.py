"""The head's receiver: what it refuses, and that a part is there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rerun_mp.errors import ResourceError
from rerun_mp.shipping import receiver as receiving
from rerun_mp.shipping import targets
from rerun_mp.shipping.parts import PartName
from rerun_mp.shipping.receiver import Receiver
from rerun_mp.shipping.signing import sign
from rerun_mp.shipping.targets import HeadTarget, PartRefusedError
from tests.harness.programs import wait_until

TOKEN = "the secret"
PART = PartName("app-0011", "host-00112233", 1, 10)
CONTENT = os.urandom((3 << 20) + 17)


@contextmanager
def head(directory: Path) -> Iterator[str]:
    """Run a receiver, and yield its URL."""
    directory.mkdir(exist_ok=True)
    server = Receiver(directory, TOKEN, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def target_of(url: str, token: str = TOKEN) -> closing[HeadTarget]:
    """Return a client of the receiver, which is closed at the end of a `with` block."""
    return closing(HeadTarget(url, token))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Return the file of a part."""
    path = tmp_path / "part.rrd"
    path.write_bytes(CONTENT)
    return path


def files_in(directory: Path) -> list[str]:
    """Return the paths of all files in a directory."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def ask(url: str, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> int:
    """Make a request as a stranger would, and return the status."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    try:
        connection.putrequest(method, path, skip_host=False)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


def signed(method: str, path: str, size: int, digest: str, offset: str = "") -> dict[str, str]:
    """Return the headers of a signed request about a part."""
    facts = {"X-Size": str(size), "X-Digest": digest, **({"X-Offset": offset} if offset else {})}
    return {**facts, "Authorization": sign(TOKEN, method, path, str(size), digest, offset)}


def test_a_part_is_stored_once_however_often_it_is_uploaded(tmp_path: Path, part: Path) -> None:
    runs = tmp_path / "runs"
    with head(runs) as url:
        for _ in range(3):
            with target_of(url) as target:
                target.store(PART, part, lambda: True)
    assert files_in(runs) == [PART.path]
    assert (runs / PART.path).read_bytes() == CONTENT


def test_an_upload_that_was_cut_goes_on_where_it_ended(tmp_path: Path, part: Path) -> None:
    """The head has restarted in between; the part has its name only when all of it is there."""
    runs, threads = tmp_path / "runs", threading.active_count()
    answers = iter([True, False])
    with head(runs) as url, target_of(url) as target, pytest.raises(ResourceError, match="is not at"):
        target.store(PART, part, lambda: next(answers))
    # What was sent lies in the socket until the head's thread for this connection has read it.
    wait_until(lambda: threading.active_count() == threads, what="the end of the head's thread")
    (partial,) = files_in(runs)
    assert partial.endswith(".partial")
    assert 0 < (runs / partial).stat().st_size < len(CONTENT)
    with head(runs) as url, target_of(url) as target:
        target.store(PART, part, lambda: True)
    assert files_in(runs) == [PART.path]
    assert (runs / PART.path).read_bytes() == CONTENT


def test_bytes_that_were_damaged_are_sent_again(tmp_path: Path, part: Path) -> None:
    runs = tmp_path / "runs"
    digest = hashlib.sha256(CONTENT).hexdigest()
    partial = runs / PART.path
    partial = partial.with_name(f".{partial.name}.{digest[:16]}.partial")
    partial.parent.mkdir(parents=True)
    partial.write_bytes(b"torn" * 100)
    with head(runs) as url, target_of(url) as target:
        with pytest.raises(ResourceError, match="do not have its digest"):
            target.store(PART, part, lambda: True)
        target.store(PART, part, lambda: True)
    assert files_in(runs) == [PART.path]
    assert (runs / PART.path).read_bytes() == CONTENT


def test_a_wrong_secret_stores_nothing(tmp_path: Path, part: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    with head(runs) as url, target_of(url, "another secret") as stranger:
        with pytest.raises(ResourceError, match="not signed with the secret"):
            stranger.store(PART, part, lambda: True)
        with pytest.raises(ResourceError, match="not signed with the secret"):
            stranger.note("app-0011", "host-00112233", {"boot": "b", "order": 1})
        path = f"/parts/{PART.path}"
        assert ask(url, "PUT", path, {"X-Size": "3", "X-Digest": "0" * 64, "X-Offset": "0"}, b"abc") == 403
    assert files_in(runs) == []
    assert capsys.readouterr().err.count("the head refuses 127.0.0.1: the request is not signed") == 1


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/0001-1-rows.rrd",
        "app/../0001-1-rows.rrd",
        "app/host/../../0001-1-rows.rrd",
        "app/host/%2e%2e",
        "app/.host/0001-1-rows.rrd",
        "/etc/passwd",
        "app/host/x.rrd",
        "app//0001-1-rows.rrd",
    ],
)
def test_no_path_leads_out_of_the_directory(path: str, tmp_path: Path) -> None:
    runs, digest = tmp_path / "runs", hashlib.sha256(b"abc").hexdigest()
    with head(runs) as url:
        where = f"/parts/{path}"
        assert ask(url, "PUT", where, signed("PUT", where, 3, digest, "0"), b"abc") == 400
    assert files_in(tmp_path) == []


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, digest, where = tmp_path / "runs", hashlib.sha256(b"abc").hexdigest(), f"/parts/{PART.path}"
    with head(runs) as url:
        assert ask(url, "PUT", where, signed("PUT", where, 1 << 50, digest, "0"), b"abc") == 413
        assert ask(url, "PUT", where, signed("PUT", where, 9, digest, "0"), b"abc") == 400
        monkeypatch.setattr(receiving, "MIN_FREE_BYTES", 1 << 60)
        assert ask(url, "PUT", where, signed("PUT", where, 3, digest, "0"), b"abc") == 507
    assert files_in(runs) == []


def test_a_full_disk_is_named_on_both_sides(
    tmp_path: Path, part: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The node learns it before it sends the part. While it sends one, it reads no answer."""
    runs = tmp_path / "runs"
    monkeypatch.setattr(receiving, "MIN_FREE_BYTES", 1 << 60)
    part.write_bytes(bytes(30 << 20))
    with head(runs) as url, target_of(url) as target:
        for _ in range(2):
            with pytest.raises(ResourceError, match=f"refuses: the disk of {runs} has .* bytes free"):
                target.store(PART, part, lambda: True)
    assert capsys.readouterr().err.count(f"the head refuses 127.0.0.1: the disk of {runs}") == 1
    assert files_in(runs) == []


def test_another_part_of_the_same_name_is_refused(tmp_path: Path, part: Path) -> None:
    runs = tmp_path / "runs"
    with head(runs) as url, target_of(url) as target:
        target.store(PART, part, lambda: True)
        part.write_bytes(b"another")
        with pytest.raises(ResourceError, match="bytes, not 7"):
            target.store(PART, part, lambda: True)
    assert (runs / PART.path).read_bytes() == CONTENT


def test_the_head_returns_its_clock_and_keeps_the_newest_status_of_a_node(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    status: dict[str, Any] = {"state": "running", "stored": 1, "host": "host"}
    with head(runs) as url, target_of(url) as target:
        sample = target.note("app-0011", "host-00112233", {**status, "boot": "b", "order": 2})
        assert sample is not None
        assert abs(sample.offset_ns) <= sample.delay_ns
        target.note("app-0011", "host-00112233", {**status, "boot": "b", "order": 1, "state": "old"})
        said = runs / ".nodes/app-0011/host-00112233.json"
        assert '"running"' in said.read_text()
        target.note("app-0011", "host-00112233", {**status, "boot": "c", "order": 1, "state": "ended"})
        assert '"ended"' in said.read_text()


def test_the_head_blames_no_disk_when_a_node_goes_away(
    tmp_path: Path, part: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of the part is there, and the head has said nothing: the next upload continues it."""
    runs, digest, where = tmp_path / "runs", hashlib.sha256(CONTENT).hexdigest(), f"/parts/{PART.path}"
    half = len(CONTENT) // 2
    with head(runs) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as node:
            headers = {**signed("PUT", where, len(CONTENT), digest, "0"), "Content-Length": str(len(CONTENT))}
            lines = [f"PUT {where} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            node.sendall("\r\n".join(lines).encode() + CONTENT[:half])
            node.shutdown(socket.SHUT_WR)
            assert node.recv(1) == b""
        (partial,) = files_in(runs)
        assert (runs / partial).stat().st_size == half
        with target_of(url) as target:
            target.store(PART, part, lambda: True)
    assert capsys.readouterr().err == ""
    assert (runs / PART.path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "content", "reason"),
    [
        (200, b'{"is_stored": true}', "not signed with the secret of this job's head"),
        (200, b"<html>Log in</html>", "not signed with the secret of this job's head"),
        (502, b"<html>Bad Gateway</html>", "refuses: status 502 without a reason"),
        (403, b'["forbidden"]', "refuses: status 403 without a reason"),
    ],
)
def test_another_server_cannot_say_that_it_has_a_part(status: int, content: bytes, reason: str, part: Path) -> None:
    class Another(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Another) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            with target_of(f"http://127.0.0.1:{server.server_port}") as target, pytest.raises(ResourceError) as raised:
                target.store(PART, part, lambda: True)
        finally:
            server.shutdown()
            thread.join()
    assert reason in str(raised.value)


def test_more_nodes_than_the_head_has_threads_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MAX_THREADS", 3)
    monkeypatch.setattr(receiving, "MAX_KEPT", 2)
    with head(tmp_path / "runs") as url, ExitStack() as stack:
        nodes = [stack.enter_context(target_of(url)) for _ in range(6)]
        for order in range(2):
            for number, node in enumerate(nodes):
                node.note("app-0011", f"host-{number}", {"boot": "b", "order": order})
    assert len(list((tmp_path / "runs/.nodes/app-0011").iterdir())) == 6


def test_a_connection_that_the_head_has_closed_is_not_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head closes a connection on which nothing comes, and a node has a part only now and then."""
    monkeypatch.setattr(receiving._Handler, "timeout", 0.05)
    monkeypatch.setattr(targets, "KEPT_SECS", 0.0)
    with head(tmp_path / "runs") as url, target_of(url) as target:
        for order in range(2):
            target.note("app-0011", "host-00112233", {"boot": "b", "order": order})
            assert target._connection is not None
            assert target._connection.sock.recv(1) == b""


def test_a_copy_that_was_cut_off_or_damaged_is_no_part(
    tmp_path: Path, part: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It came there without the receiver. The node keeps its part, and the head's user learns which file to remove."""
    runs = tmp_path / "runs"
    copy = runs / PART.path
    with head(runs) as url, target_of(url) as target:
        copy.parent.mkdir(parents=True)
        for content, reason in ((CONTENT[:7], "with 7 bytes, not"), (bytes(len(CONTENT)), "with other bytes")):
            copy.write_bytes(content)
            with pytest.raises(PartRefusedError, match=reason):
                target.store(PART, part, lambda: True)
        copy.unlink()
        target.store(PART, part, lambda: True)
    assert copy.read_bytes() == CONTENT
    assert f"the head has {copy} with 7 bytes" in capsys.readouterr().err
