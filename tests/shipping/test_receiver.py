"""The head's receiver: what it refuses, and that a part is there whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from rerun_mp.errors import ResourceError
from rerun_mp.shipping import receiver as receiving
from rerun_mp.shipping.parts import PartName
from rerun_mp.shipping.receiver import Receiver
from rerun_mp.shipping.signing import sign
from rerun_mp.shipping.targets import HeadTarget

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
    runs = tmp_path / "runs"
    answers = iter([True, False])
    with head(runs) as url, target_of(url) as target, pytest.raises(ResourceError, match="is not at"):
        target.store(PART, part, lambda: next(answers))
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
