"""Texts of users are escaped, so that they cannot control a terminal."""

from __future__ import annotations

import os

import pytest

from rerun_mp.printable import counted, printable


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


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (1200, "row", "1,200 rows"),
        (1, "process", "1 process"),
        (2, "process", "2 processes"),
    ],
)
def test_a_number_of_things_is_in_the_singular_or_the_plural(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text
