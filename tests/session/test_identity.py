"""A process belongs to the session that its environment names if that one lives, else to that of its authkey."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerun_mp.encoding.ids import ENVIRONMENT_VARIABLE, SessionName, segment_name
from rerun_mp.session import founding, identity
from rerun_mp.session.identity import Identity
from rerun_mp.shm import segment
from rerun_mp.shm.layout import Geometry
from tests.conftest import RunPython

pytestmark = pytest.mark.real_collectors

KEY = b"\xab" * 32
MakeSegment = Callable[..., segment.Segment]


@pytest.fixture(autouse=True)
def _no_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)


@pytest.fixture
def make_segment() -> Iterator[MakeSegment]:
    """Publish a segment of an empty session under `KEY`."""
    made: list[segment.Segment] = []

    def make(path: str, *, root: bytes = b"") -> segment.Segment:
        one = segment.create(
            path, Geometry(4096, 8, 4), os.urandom(16), runtime_directory="/r", spool_directory="/s", root=root
        )
        assert one is not None
        made.append(one)
        return one

    yield make
    for one in made:
        assert one.participants is not None
        one.participants.release()
        Path(one.path).unlink(missing_ok=True)


def test_a_key_alone_names_any_session_with_that_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, KEY.hex())
    assert identity.find(may_create=False) == Identity(KEY, f"{segment.DIRECTORY}/{segment_name(KEY)}")


def test_a_name_finds_the_session_that_set_it_and_no_later_one(
    monkeypatch: pytest.MonkeyPatch, make_segment: MakeSegment
) -> None:
    key = os.urandom(32)
    path = f"{segment.DIRECTORY}/{segment_name(key)}"
    first = make_segment(path)
    name = SessionName(key, first.root)
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, name.text)
    assert identity.find(may_create=False) == Identity(key, path, name.root, may_found=False)

    os.unlink(path)
    found = identity.find(may_create=True)
    assert found is not None
    assert found.key != key

    make_segment(path)
    assert founding.join(Identity(key, path, name.root)) is None
    found = identity.find(may_create=True)
    assert found is not None
    assert found.key != key


def test_a_name_finds_a_session_that_continues_the_named_one(
    monkeypatch: pytest.MonkeyPatch, make_segment: MakeSegment
) -> None:
    key, root = os.urandom(32), os.urandom(8)
    path = f"{segment.DIRECTORY}/{segment_name(key)}"
    later = make_segment(path, root=root)
    assert later.nonce[:8] != root
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, SessionName(key, root).text)
    assert identity.find(may_create=False) == Identity(key, path, root, may_found=False)


def test_a_key_that_is_none_is_named_and_ignored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "no name")
    assert identity.find(may_create=True) is not None
    assert (
        "RERUN_MP_SESSION is neither a name such as robot-7 nor a session's key (64 hex digits"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("start", ["", "import multiprocessing"], ids=["alone", "with multiprocessing"])
def test_only_multiprocessing_gives_a_key_without_founding(start: str, run_python: RunPython) -> None:
    """Its authkey is common to the tree; random bytes are drawn once, by the process that founds or forks."""
    program = f"""
        {start}
        from rerun_mp.session.identity import find
        found = [find(may_create=may_create) for may_create in (False, True, True)]
        print(found[0] is None, found[1] == found[2], all(one is None or len(one.key) == 32 for one in found))
        """
    printed = run_python(program, env={ENVIRONMENT_VARIABLE: None}, fresh=True).check().stdout.split()
    assert printed == ([str(not start), "True", "True"])
