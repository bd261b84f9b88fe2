"""A table that is longer than the screen is seen in parts, and keys choose the part."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest
from rich.console import Console
from rich.text import Text

from rerun_mp.cli.scrolling import Keys, Scrolled


def shown(lines: int, first: int, height: int) -> list[str]:
    console = Console(width=80, height=height, record=True, file=io.StringIO())
    console.print(Scrolled(Text("\n".join(map(str, range(lines)))), first), height=height)
    return console.export_text().splitlines()


def test_a_part_is_as_high_as_the_screen() -> None:
    assert shown(3, 0, 5)[:3] == ["0", "1", "2"]
    top = shown(20, 0, 5)
    assert top[:4] == ["0", "1", "2", "3"]
    assert top[4].startswith("0 lines above, 16 below")
    end = shown(20, 100, 5)
    assert end[:4] == ["16", "17", "18", "19"]
    assert end[4].startswith("16 lines above, 0 below")


def test_keys_move_and_quit(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        text = io.TextIOWrapper(terminal)
        monkeypatch.setattr(sys, "stdin", text)
        monkeypatch.setattr(sys, "stdout", text)
        with Keys() as keys:
            for pressed, move in ((b"\x1b[B", 1), (b"k", -1), (b" ", 10), (b"x", 0), (b"q", None)):
                os.write(ours, pressed)
                assert keys.wait(10) == move
            assert keys.wait(0) == 0
        os.close(ours)


def test_without_a_terminal_there_are_no_keys() -> None:
    with Keys() as keys:
        assert keys.wait(0) == 0
