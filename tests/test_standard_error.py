"""A line for the user costs nothing where there is no standard error."""

from __future__ import annotations

import io
import sys

import pytest

from rerun_mp.standard_error import tell


def test_a_line_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    tell("rerun_mp: a line\n")
    assert capsys.readouterr().err == "rerun_mp: a line\n"


def test_without_a_stream_the_line_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    with open("/dev/full", "w", buffering=1) as full:
        for stream in (None, closed, full):
            monkeypatch.setattr(sys, "stderr", stream)
            tell("rerun_mp: a line\n")
        monkeypatch.undo()
        try:
            full.close()
        except OSError:
            pass
