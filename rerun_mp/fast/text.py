"""`TextLog`: a line of text and its level, kept as Python strings."""

from __future__ import annotations

import struct
import sys
from typing import Any

from rerun_mp.encoding.row_layouts import ColumnsLayout, ListComponent, RowLayout, ValueKind, columns_layout
from rerun_mp.fast.base import FastArchetype
from rerun_mp.fast.general import encode_in_columns
from rerun_mp.fast.values import text_of

__all__ = ["TEXT_LOG", "TextLog", "plain_text"]

TEXT_LOG = 2

WITHOUT_LEVEL = RowLayout(ValueKind.TEXT)
WITH_LEVEL = RowLayout(ValueKind.LEVELLED_TEXT)
_TEXT = ListComponent("TextLog:text", "rerun.archetypes.TextLog", "rerun.components.Text", '"s"')
_LEVEL = ListComponent("TextLog:level", "rerun.archetypes.TextLog", "rerun.components.TextLogLevel", '"s"')
TEXT_COLUMNS = columns_layout((_TEXT,))
LEVELLED_COLUMNS = columns_layout((_LEVEL, _TEXT))

_pack_length = struct.Struct("<I").pack


class TextLog(FastArchetype, fast_kind=TEXT_LOG):
    """A text, with or without a level. A text with a color is encoded as a general archetype; see `general`.

    Fast attributes: `_text`, a str; `_level`, a str or None. Both can be encoded as UTF-8.
    """

    __slots__ = ("_level", "_text")

    _fields = ("text", "level", "color")

    _text: str
    _level: str | None

    def __init__(self, text: Any, *, level: Any = None, color: Any = None) -> None:
        if (
            type(text) is str
            and color is None
            and (text.isascii() or _is_encodable(text))
            and (level is None or (type(level) is str and (level.isascii() or _is_encodable(level))))
        ):
            self._text = text
            self._level = level
        elif type(level) is not str and color is None and (constant := plain_text(level, "TextLogLevel")) is not None:
            self.__init__(text, level=constant)  # type: ignore[misc]
        else:
            encode_in_columns(self, text, level=level, color=color)

    def _find_row_layout(self) -> RowLayout:
        return WITHOUT_LEVEL if self._level is None else WITH_LEVEL

    def _as_columns(self) -> tuple[ColumnsLayout, list[Any]]:
        text = self._text.encode()
        blocks: list[Any] = [_pack_length(len(text)), text]
        if self._level is None:
            return TEXT_COLUMNS, blocks
        level = self._level.encode()
        return LEVELLED_COLUMNS, [_pack_length(len(level)), level, *blocks]

    def _to_rerun(self, rerun_class: Any) -> Any:
        return rerun_class(self._text, level=self._level)


def plain_text(given: Any, constants: str) -> str | None:
    """Return the text that rerun makes of `given`; None if rerun's class must judge it.

    Parameters
    ----------
    given
        A text, or one of rerun's constants, which hold a text in `value`.
    constants
        Class name of these constants, such as "TextLogLevel".
    """
    given = text_of(given)
    rerun = sys.modules.get("rerun")  # a program that has one of the constants has loaded rerun
    if rerun is not None and type(given) is getattr(rerun, constants, None):
        given = given.value
    return given if type(given) is str and _is_encodable(given) else None


def _is_encodable(text: str) -> bool:
    """Return whether UTF-8 can express `text`. Rerun and Arrow refuse a text with a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
