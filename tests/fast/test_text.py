"""`TextLog`: for any argument, Arrow data, warnings and errors are those of rerun's class."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
import rerun as theirs
from hypothesis import example, given
from hypothesis import strategies as st

import rerun_mp as rr
from tests.fast.outcomes import assert_same, components


class Text(str):
    """A subclass of `str`, which goes to rerun's class."""

    __slots__ = ()


UTF8_TEXT = st.text(max_size=300)
ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=20) | UTF8_TEXT
"""Also with lone surrogates, which neither UTF-8 nor rerun accepts."""
LEVELS = st.none() | ANY_TEXT | st.sampled_from(["INFO", theirs.TextLogLevel.INFO, theirs.TextLogLevel("own"), 3, b"x"])
COLORS = st.none() | st.sampled_from([0xFF00FFFF, [255, 0, 0], (0, 1, 2, 3), "red", "no color"])
TEXTS = ANY_TEXT | st.sampled_from([Text("own class"), None, 3, b"bytes", ["a", "b"], [], theirs.components.Text("a")])


@given(TEXTS, LEVELS, COLORS)
@example("x\ud800", None, None)
@example("x", "\ud800", None)
def test_arrow_data_warnings_and_errors_equal_reruns(text: Any, level: Any, color: Any) -> None:
    assert_same(rr.TextLog, theirs.TextLog, text, level=level, color=color)
    assert_same(rr.TextLog, theirs.TextLog, text, level=level)
    assert_same(rr.TextLog, theirs.TextLog, text=text)


@given(UTF8_TEXT, st.none() | UTF8_TEXT | st.sampled_from([theirs.TextLogLevel.INFO, theirs.TextLogLevel("own")]))
def test_the_fast_attributes_are_the_arrow_data(text: str, level: Any) -> None:
    made: Any = rr.TextLog(text, level=level)
    assert made._fast_kind
    given_texts = [made._text] if made._level is None else [made._text, made._level]
    data = [pa.record_batch([pa.array([one], pa.utf8())], names=["component"]).serialize() for one in given_texts]
    assert all(
        have.endswith(want.to_pybytes())
        for (_, have), want in zip(components(theirs.TextLog(text, level=level)), data, strict=True)
    )


@pytest.mark.parametrize("level", [None, "INFO", "größer", theirs.TextLogLevel.WARN])
def test_texts_are_kept(level: Any) -> None:
    made: Any = rr.TextLog("größer", level=level)
    assert made._fast_kind
    assert made._text == "größer"
    assert made._level == (None if level is None else str(level))


@pytest.mark.parametrize("args", [(), ("a", "INFO")])
def test_wrong_calls_raise_as_in_rerun(args: Any) -> None:
    assert_same(rr.TextLog, theirs.TextLog, *args)
    assert_same(rr.TextLog, theirs.TextLog, *args, label=3)
