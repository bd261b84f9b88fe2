"""The rehearsal of a first row before the first fork."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rerun_mp.session import rehearsal
from rerun_mp.session.rehearsal import rehearse


def test_a_rehearsal_leaves_nothing(tmp_path: Path) -> None:
    """No file, no descriptor and no mapping of its ring; its rows reach no session."""
    descriptors = len(os.listdir("/proc/self/fd"))
    rehearsal._rehearse_in(str(tmp_path / "ring"))
    assert not os.listdir(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_fork_goes_on_if_the_system_refuses_the_rehearsal(tmp_path: Path) -> None:
    rehearse(str(tmp_path / "missing"))


def test_an_exception_of_the_program_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler may raise in the middle."""

    def handler(_: str) -> None:
        raise OSError("of the program")

    monkeypatch.setattr(rehearsal, "_rehearse_in", handler)
    with pytest.raises(OSError, match="of the program"):
        rehearse(str(tmp_path))
