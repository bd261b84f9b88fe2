"""Texts of users are escaped, so that they cannot control a terminal."""

from __future__ import annotations

import os

import pytest

from rerun_mp.printable import printable


@pytest.mark.parametrize("text", ["run.rrd", "Läufe/走る　1.rrd", "ein\u00a0Name", "🤖"])
def test_texts_of_all_languages_stay(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b2J", "\\x9b2J"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        (os.fsdecode(b"r\xff.rrd"), "r\\udcff.rrd"),
    ],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown
