"""Draws what `make bench` has printed: how many times as fast as rerun-sdk each usual row and each program is.

`python -m benchmarks.drawing RESULTS.md OUT.svg` reads the tables of `usual` and `whole_programs`. All their rows are
drawn, the slow ones, too.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import NamedTuple

__all__ = ["Bar", "bars_of", "draw"]

ROW = 18
NAMES, WIDTH = 330, 860
"""Pixels of the names, and of the whole drawing."""
LEAST, MOST = 0.5, 64.0
"""The ends of the axis, which is logarithmic."""
TICKS = (0.5, 1, 2, 5, 10, 20, 50)
CALLS = "one call: processor time with set_time and making the archetype"
PROGRAMS = "a whole program: wall time"
FASTER, SLOWER = "#3b7dd8", "#d8573b"
RATIO = re.compile(r"([\d.]+)x")
WALL_AND_PROCESSORS = re.compile(r"([\d.]+) / [\d.]+")


class Bar(NamedTuple):
    """A row of the drawing."""

    group: str
    name: str
    ratio: float
    """rerun-sdk's time over ours."""


def bars_of(results: str) -> list[Bar]:
    """Return the bars of a run's output: in each group, the fastest first."""
    found = [*_bars(results)]
    return sorted(found, key=lambda bar: ([CALLS, PROGRAMS].index(bar.group), -bar.ratio))


def _bars(results: str) -> Iterator[Bar]:
    part = ""
    for line in results.splitlines():
        if line.startswith("## "):
            part = line[3:].strip()
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 4:
            continue
        if part == "usual" and (found := RATIO.fullmatch(cells[3])):
            yield Bar(CALLS, cells[0], float(found[1]))
        if part == "whole_programs" and (found := WALL_AND_PROCESSORS.fullmatch(cells[3])) and float(found[1]):
            yield Bar(PROGRAMS, cells[0], 1 / float(found[1]))


def draw(bars: Iterable[Bar]) -> str:
    """Return an SVG drawing of the bars, in their order."""
    parts: list[str] = []
    y, group = ROW, ""
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
            f'<text x="{max(end, _at(1)) + 5:.1f}" y="{y + 13}">{bar.ratio:.3g}x</text>',
        ]
        y += ROW
    height = y + ROW
    axis = [
        f'<path d="M{_at(tick):.1f} {ROW + 2}V{y}" stroke="{"#888" if tick == 1 else "#ddd"}"/>'
        f'<text x="{_at(tick):.1f}" y="{ROW - 4}" text-anchor="middle">{tick:g}x</text>'
        for tick in TICKS
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="12"><title>rerun_mp beside rerun-sdk</title><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *axis, *parts, "</svg>"]) + "\n"


def _at(ratio: float) -> float:
    """Return the place of a ratio on the axis, in pixels."""
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return NAMES + share * (WIDTH - NAMES - 50)


def main(results: str, drawing: str) -> None:
    """Draw the results in one file into another."""
    Path(drawing).write_text(draw(bars_of(Path(results).read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
