"""The figures of the pages are those that were measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.figures import PAGES, RESULTS, add_results, drawn
from benchmarks.report import Section


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_quotes_the_results(page: Path) -> None:
    """If not, `python -m benchmarks.figures` draws them."""
    text = page.read_text(encoding="utf-8")
    assert drawn(text, json.loads(RESULTS.read_text(encoding="utf-8"))) == text
    assert "<!-- figures: " in text


def test_a_new_run_replaces_the_figures_of_its_sections(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    for figure in (0.000123456, 2.0):
        add_results(path, "calls", Section("Calls", (), figures={"a": [figure, 7]}), "2 cores")
        add_results(path, f"of {figure}", Section("Other", ()), "2 cores")
    results = json.loads(path.read_text(encoding="utf-8"))
    assert set(results) == {"calls", "of 0.000123456", "of 2.0"}
    assert results["calls"]["figures"] == {"a": [2.0, 7]}


def test_figures_keep_four_digits(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    add_results(path, "calls", Section("Calls", (), figures={"a": 0.000123456, "b": [1234567.8]}), "2 cores")
    assert json.loads(path.read_text(encoding="utf-8"))["calls"]["figures"] == {"a": 0.0001235, "b": [1235000.0]}
