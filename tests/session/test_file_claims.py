"""Claims tell files apart, locks keep them, and the names beside a path fit into 255 bytes."""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path

import pytest

from rerun_mp.session import file_claims


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.rrd"


def test_a_claim_ends_when_another_program_puts_a_file_there(out: Path) -> None:
    out.write_bytes(b"of an earlier run")
    out.chmod(0o640)
    claim = file_claims.claim_file(str(out), "session")
    assert file_claims.is_claimed(str(out), claim)
    assert out.read_bytes() == b""
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    other = file_claims.claim_file(str(out), "another")
    assert other != claim
    assert not file_claims.is_claimed(str(out), claim)
    out.unlink()
    assert file_claims.claim_of(str(out)) is None
    assert list(out.parent.iterdir()) == []


def test_a_failed_claim_leaves_nothing_behind(out: Path) -> None:
    out.mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        file_claims.claim_file(str(out), "session")
    assert [path.name for path in out.parent.iterdir()] == ["out.rrd"]


def claim_in_child(out: Path, *, force: bool) -> int:
    """Claim the path in another process, and return its exit code: 1 if the path is held."""
    child = os.fork()
    if child == 0:
        try:
            file_claims.claim_file(str(out), "child", force=force)
        except file_claims.HeldError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_held_path_is_claimed_only_by_force(out: Path) -> None:
    """The process that has claimed it holds it, and a worker that writes there does."""
    claim = file_claims.claim_file(str(out), "session")
    assert claim_in_child(out, force=False) == 1
    assert file_claims.is_claimed(str(out), claim)
    assert claim_in_child(out, force=True) == 0
    assert claim_in_child(out, force=False) == 0, "the child that held it has ended"
    lease = file_claims.hold_file(str(out))
    assert lease is not None
    assert claim_in_child(out, force=False) == 1
    lease.release()
    assert claim_in_child(out, force=False) == 0
    assert [path.name for path in out.parent.iterdir()] == ["out.rrd"]


def test_a_claim_beside_a_path_replaces_no_file(out: Path) -> None:
    """The user has not named that path, so a file there may be anything."""
    kept = out.with_name("out-2.rrd")
    kept.write_bytes(b"of the user")
    out.with_name("out-3.rrd").symlink_to("nowhere")
    path, claim = file_claims.claim_beside(str(out))
    assert path == str(out.with_name("out-4.rrd"))
    assert file_claims.is_claimed(path, claim)
    assert claim_in_child(Path(path), force=False) == 1
    assert kept.read_bytes() == b"of the user"
    assert not out.exists()


def test_only_regular_files_are_held(tmp_path: Path) -> None:
    assert file_claims.hold_file(str(tmp_path)) is None
    assert file_claims.hold_file(str(tmp_path / "missing")) is None


def test_a_file_in_a_directory_of_others_is_written_in_place(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out.write_bytes(b"earlier")
    assert not file_claims.is_in_place(str(out))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert file_claims.is_in_place(str(out))
    assert not file_claims.is_in_place(str(out.parent / "missing"))


NAMES = ["out.rrd", "x" * 255, f"{'漢' * 80}.rrd", f"{'é' * 125}.r", f".{'y' * 254}"]


@pytest.mark.parametrize("name", NAMES, ids=["short", "255 bytes", "80 characters", "two bytes each", "one suffix"])
def test_names_beside_a_path_differ_and_fit(name: str) -> None:
    path = f"/somewhere/{name}"
    found = [*file_claims.aside_paths(path, "0123abcd"), *islice(file_claims.numbered_paths(path), 5)]
    found.append(f"/somewhere/{file_claims.hidden_name(name, '0123abcd-claim-0123456789ab')}")
    assert len({path, *found}) == len(found) + 1
    for one in found:
        assert os.path.dirname(one) == "/somewhere"
        assert len(os.fsencode(os.path.basename(one))) <= 255
        os.fsencode(one).decode()


def test_names_beside_a_path_keep_its_suffix() -> None:
    assert next(file_claims.numbered_paths("/a/run.rrd")) == "/a/run-2.rrd"
    assert next(file_claims.aside_paths("/a/run.rrd", "0123abcd")) == "/a/run.recovered-0123abcd.rrd"
    assert file_claims.hidden_name("run.rrd", "0123abcd-1") == ".run.rrd.rmp-0123abcd-1"


def test_a_move_to_a_mounted_file_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"an old content")
    inode = target.stat().st_ino
    monkeypatch.setattr(os, "replace", refuse)
    file_claims.move_or_copy(str(source), str(target))
    assert (target.read_bytes(), target.stat().st_ino, source.exists()) == (b"new", inode, False)
