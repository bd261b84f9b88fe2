"""The output of the benchmarks: tables in Markdown, and figures beside their targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Section", "Target", "bytes_text", "rate_text", "ratio_text", "table", "times_text"]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure and the bound that the project has set for it."""

    what: str
    figure: float
    at_least: float | None = None
    at_most: float | None = None
    aim: float | None = None
    """The figure that we aim for, beyond the bound."""
    unit: str = "x"

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps its bound."""
        return (self.at_least is None or self.figure >= self.at_least) and (
            self.at_most is None or self.figure <= self.at_most
        )

    def row(self) -> tuple[str, ...]:
        """Return the line of the table of targets."""
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return self.what, f"{self.figure:.3g} {self.unit}", f"{bound} {self.unit}{aim}", "ok" if self.is_met else "MISS"


@dataclass(slots=True)
class Section:
    """The results of one part of the run."""

    title: str
    header: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    notes: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    """The numbers that pages quote; `figures` draws them."""

    def __str__(self) -> str:
        text = f"### {self.title}\n\n{table(self.header, self.rows)}\n"
        return f"{text}\n{self.notes}\n" if self.notes else text


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown whose columns are also aligned as plain text."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    texts = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines]
    return "\n".join([texts[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *texts[1:]])


def times_text(micros: Sequence[float]) -> str:
    """Return quantiles in microseconds."""
    return " / ".join(f"{value:.2f}" if value < 10 else f"{value:,.0f}" for value in micros)


def ratio_text(ratio: float) -> str:
    """Return a ratio."""
    return f"{ratio:.1f}x" if ratio >= 10 else f"{ratio:.2f}x"


def rate_text(per_sec: float) -> str:
    """Return a rate."""
    return f"{per_sec:,.0f}"


def bytes_text(number: float) -> str:
    """Return bytes in megabytes (10^6 bytes)."""
    return f"{number / 1e6:,.1f} MB"
