"""Texts of users, made fit for a terminal: file names, ids and command lines may hold any character. Any thread."""

from __future__ import annotations

import unicodedata

__all__ = ["counted", "printable"]


def printable(text: str) -> str:
    r"""Return a text with escapes in place of what a terminal would obey, or cannot show: controls, undecodable bytes.

    Examples
    --------
    >>> print(printable("run\x1b[2J.rrd"))
    run\x1b[2J.rrd
    """
    if text.isprintable():
        return text
    return "".join(one if _is_shown(one) else one.encode("unicode_escape").decode() for one in text)


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, in the singular or the plural.

    Examples
    --------
    >>> counted(1, "process")
    '1 process'
    >>> counted(1200, "row")
    '1,200 rows'
    """
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _is_shown(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"
