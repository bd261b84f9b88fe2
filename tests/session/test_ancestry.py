"""A process finds its scope by its parent's process, or by the environment, if the session knows that scope."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.session import ancestry
from rerun_mp.session.config import Scope, SessionConfig


def start_time_of(pid: int) -> int:
    """Return when a process started, in the kernel's ticks."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def test_a_process_is_identified_by_id_and_start_time() -> None:
    assert ancestry.this_process() == (os.getpid(), start_time_of(os.getpid()))


def test_the_parents_scope_is_inherited() -> None:
    parent = os.getppid()
    assert ancestry.inherited_scope(SessionConfig(scopes=(Scope(7, 0, (parent, start_time_of(parent))),))) == 7


def test_an_earlier_process_with_the_parents_id_gives_no_scope() -> None:
    assert ancestry.inherited_scope(SessionConfig(scopes=(Scope(7, 0, (os.getppid(), 1)),))) == 0


@pytest.mark.parametrize(("text", "token"), [("ff", 0xFF), ("fe", 0), ("nonsense", 0)])
def test_the_environment_names_a_scope_that_the_session_knows(
    text: str, token: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ancestry.ENVIRONMENT_VARIABLE, text)
    assert ancestry.inherited_scope(SessionConfig(scopes=(Scope(0xFF, 0, (1, 0)),))) == token
    assert ancestry.inherited_scope(SessionConfig()) == 0


def test_an_exported_scope_reaches_the_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ancestry.ENVIRONMENT_VARIABLE, "0")
    ancestry.export(0xABC)
    assert ancestry.inherited_scope(SessionConfig(scopes=(Scope(0xABC, 0, (1, 0)),))) == 0xABC
