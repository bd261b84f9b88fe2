"""Draws a file of results: how many times as fast as rerun-sdk each usual row and each whole program is.

`python -m benchmarks.drawing RESULTS.json OUT.svg` reads what `usual` and `whole_programs` have put there (`figures`).
All rows are drawn, the slow ones, too.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Results

__all__ = ["Bar", "bars_of", "draw"]

ROW = 18
NAMES, WIDTH = 330, 860
"""Pixels of the names, and of the whole drawing."""
LEAST, MOST = 0.5, 64.0
"""The ends of the axis, which is logarithmic."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50)
CALLS = "one call with its archetype: processor time"
PROGRAMS = "a whole program: wall time"
TITLE = "rerun-sdk's time over rerun_mp's: above 1x, rerun_mp is faster"
FASTER, SLOWER = "#3b7dd8", "#d8573b"


class Bar(NamedTuple):
    """A row of the drawing."""

    group: str
    name: str
    ratio: float
    """rerun-sdk's time over ours."""


def bars_of(results: Results) -> list[Bar]:
    """Return the bars of a file of results: in each group, the fastest first."""
    calls = [Bar(CALLS, name, row["rerun"] / row["rerun_mp"]) for name, row in _figures(results, "usual")]
    programs = [
        Bar(PROGRAMS, name, row["rerun"][0] / row["rerun_mp"][0]) for name, row in _figures(results, "programs")
    ]
    return [bar for group in (calls, programs) for bar in sorted(group, key=lambda bar: -bar.ratio)]


def _figures(results: Results, section: str) -> Iterable[tuple[str, Any]]:
    return results[section]["figures"].items() if section in results else ()


def draw(bars: Iterable[Bar]) -> str:
    """Return an SVG drawing of the bars, in their order."""
    parts: list[str] = []
    y, group = 2 * ROW, ""
    for bar in bars:
        if bar.group != group:
            group = bar.group
            parts.append(f'<text x="8" y="{y + 2 * ROW - 6}" font-weight="bold">{escape(group)}</text>')
            y += 2 * ROW
        begin, end = sorted((_at(1), _at(bar.ratio)))
        color = FASTER if bar.ratio >= 1 else SLOWER
        parts += [
            f'<text x="{NAMES - 8}" y="{y + 13}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{begin:.1f}" y="{y + 3}" width="{max(end - begin, 1):.1f}" height="{ROW - 6}" fill="{color}"/>',
            f'<text x="{max(end, _at(1)) + 5:.1f}" y="{y + 13}">{_times(bar.ratio)}</text>',
        ]
        y += ROW
    height = y + ROW
    axis = [
        f'<path d="M{_at(tick):.1f} {2 * ROW + 2}V{y}" stroke="{"#888" if tick == 1 else "#ddd"}"/>'
        f'<text x="{_at(tick):.1f}" y="{2 * ROW - 4}" text-anchor="middle">{tick:g}x</text>'
        for tick in TICKS
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><title>rerun_mp beside rerun-sdk</title><rect width="100%" height="100%" fill="white"/>'
        f'<text x="{NAMES}" y="{ROW - 4}">{escape(TITLE)}</text>'
    )
    return "\n".join([head, *axis, *parts, "</svg>"]) + "\n"


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x" if ratio >= 1 else f"{ratio:.2f}x"


def _at(ratio: float) -> float:
    """Return the place of a ratio on the axis, in pixels."""
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return NAMES + share * (WIDTH - NAMES - 50)


def main(results: str, drawing: str) -> None:
    """Draw the results in one file into another."""
    made = draw(bars_of(json.loads(Path(results).read_text(encoding="utf-8"))))
    Path(drawing).write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
