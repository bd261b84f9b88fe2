"""A notice reaches one process of the session, once, as one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rerun_mp.session import notices


def test_each_notice_is_taken_once(tmp_path: Path) -> None:
    notices.leave_notice(str(tmp_path), "first\nline")
    notices.leave_notice(str(tmp_path), "second")
    assert notices.take_notices(str(tmp_path)) == ["first line", "second"]
    assert notices.take_notices(str(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_a_session_that_has_ended_gets_none(tmp_path: Path) -> None:
    notices.leave_notice(str(tmp_path / "gone"), "text")
    assert notices.take_notices(str(tmp_path / "gone")) == []


def test_notices_are_bounded(tmp_path: Path) -> None:
    for _ in range(1000):
        notices.leave_notice(str(tmp_path), "x" * 100)
    assert sum(len(line) + 1 for line in notices.take_notices(str(tmp_path))) <= notices.MAX_BYTES + 101


def test_without_standard_error_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notices.say("heard")
    assert capsys.readouterr().err == "rerun_mp: heard\n"
    monkeypatch.setattr(sys, "stderr", None)
    notices.say("not heard")
