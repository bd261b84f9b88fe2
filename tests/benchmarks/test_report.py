"""Targets have verdicts, and sections are Markdown."""

from __future__ import annotations

import pytest

from benchmarks.memory import allowed_bytes
from benchmarks.report import Section, Target, times_text


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("a", 20.0, at_least=20.0), "ok"),
        (Target("a", 19.9, at_least=20.0), "MISS"),
        (Target("a", 1.7, at_most=1.7), "ok"),
        (Target("a", 1.8, at_most=1.7), "MISS"),
    ],
)
def test_a_target_says_whether_it_is_met(target: Target, verdict: str) -> None:
    assert target.row()[-1] == verdict


def test_a_target_names_its_bound_and_its_aim() -> None:
    assert Target("calls", 21.5, 20.0, aim=25.0).row() == ("calls", "21.5 x", "≥ 20 x (aim 25)", "ok")


def test_a_section_is_markdown() -> None:
    section = Section("Title", ("a", "long"), notes="Notes.")
    section.rows.append(("1", "2"))
    assert str(section) == "### Title\n\n| a | long |\n|---|------|\n| 1 | 2    |\n\nNotes.\n"


def test_small_times_keep_their_digits() -> None:
    assert times_text([0.774, 12.3, 5861.0]) == "0.77 / 12 / 5,861"


def test_memory_may_grow_by_a_kilobyte_for_each_chunk_beyond_the_free_ones() -> None:
    assert allowed_bytes(500_000) == allowed_bytes(0) == 250e6
    assert allowed_bytes(600_000) == 270e6
