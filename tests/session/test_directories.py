"""Directories lie where the environment says, are private, and vanish when they are empty."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rerun_mp.errors import PrivacyError, ResourceError
from rerun_mp.session import directories


def test_the_environment_says_where_the_directories_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert directories.runtime_base() == directories.spool_base() == directories.rescue_base() == f"{tmp_path}/rerun_mp"


def test_the_names_in_another_users_directory_have_the_users_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as under `sudo -E`. Otherwise the other user could found no session any more."""
    for variable in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    bases = {directories.runtime_base(), directories.spool_base(), directories.rescue_base()}
    assert bases == {f"{tmp_path}/rerun_mp-4711"}
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert directories.spool_base() == f"{tmp_path}/.cache/rerun_mp-4711"
    assert directories.rescue_base() == f"{tmp_path}/.local/share/rerun_mp-4711"


def test_without_a_runtime_directory_the_temporary_one_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert directories.runtime_base() == f"{tmp_path}/rerun_mp-{os.geteuid()}"


def test_without_either_the_shared_memory_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(os, "access", lambda path, _: path == "/dev/shm")
    assert directories.runtime_base() == f"/dev/shm/rerun_mp-{os.geteuid()}"


def test_a_cache_that_cannot_be_made_is_replaced_by_the_runtime_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(directories, "_may_be_made", lambda path: not path.startswith("/proc"))
    assert directories.spool_base() == os.path.join(directories.runtime_base(), "rerun_mp")


def test_directories_are_private_and_vanish_with_the_last(tmp_path: Path) -> None:
    session, other = tmp_path / "rerun_mp" / "one", tmp_path / "rerun_mp" / "two"
    for path in (session, other):
        directories.ensure_private(str(path))
        directories.ensure_private(str(path))
    assert stat.S_IMODE(session.stat().st_mode) == stat.S_IMODE(session.parent.stat().st_mode) == 0o700
    directories.remove_tree(str(session))
    assert session.parent.exists()
    directories.remove_tree(str(other))
    assert not session.parent.exists()


def test_a_directory_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    base = tmp_path / "rerun_mp"
    base.mkdir()
    base.chmod(0o755)
    with pytest.raises(PrivacyError, match=r"rerun_mp is not a private directory of ours: owner .*, mode drwxr-xr-x"):
        directories.ensure_private(str(base / "session"))


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ResourceError, match=r"cannot be made: File exists\. Set XDG_RUNTIME_DIR"):
        directories.ensure_private(str(tmp_path / "file" / "rerun_mp" / "session"))


def test_a_founding_that_fails_leaves_no_empty_base() -> None:
    def fail() -> None:
        assert all(map(os.path.isdir, (directories.runtime_base(), directories.spool_base())))
        raise KeyError

    with pytest.raises(KeyError), directories.bases_for_new_session():
        fail()
    assert not any(map(os.path.exists, (directories.runtime_base(), directories.spool_base())))


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    directory = tmp_path / "rerun_mp" / "session"
    for text in ("first", "second"):
        directories.replace_file(str(directory), "name", text)
        assert [path.read_text() for path in directory.iterdir()] == [text]


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    first = directories.hold(str(tmp_path))
    assert first is not None
    assert directories.hold(str(tmp_path)) is None
    os.close(first)
    second = directories.hold(str(tmp_path))
    assert second is not None
    os.close(second)


def test_file_names_of_recordings_are_readable_and_distinct() -> None:
    name, digest = directories.name_of("my app/../x", "recording")
    assert name == "my_app_.._x"
    assert directories.name_of("my app/../x", "other") != (name, digest)
    assert directories.name_of("...", "recording")[0] == "recording"
    path = directories.rescue_path("/rescue", "my app", "recording", bytes(16))
    assert path.startswith("/rescue/my_app-00000000-")
    assert path.endswith(".rrd")


def test_a_file_that_a_full_disk_refuses_is_named(tmp_path: Path) -> None:
    directory = tmp_path / "rerun_mp" / "one"
    directories.ensure_private(str(directory))
    (directory / "config.json.new").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{directory}/config.json'"):
        directories.replace_file(str(directory), "config.json", "text")
