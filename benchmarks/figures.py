"""The figures that README.md and docs/performance.md quote, drawn from one file of results.

`python -m benchmarks.hot_path --results benchmarks/results.json` measures and keeps them. `python -m
benchmarks.figures` draws them between the pages' marks, and a test compares pages and file.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Section, times_text
from benchmarks.workloads import TRANSPORTS

__all__ = ["PAGES", "RESULTS", "add_results", "drawn"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BLOCK = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
"""Mark, name, text and end of a place in a page."""
P50, P99, P999 = 0, 1, 2
LATE = frozenset({"programs", "scaling", "usual"})
"""Blocks of benchmarks that need an idle machine for long, so that seldom all are measured."""
CLOSEST = 6
"""Number of usual rows that the page shows."""
NAMES = {"scalars": "a number", "text": "a text", "points": "1,000 points", "image": "a 640x480 image, every 10 ms"}
PLURALS = {"scalars": "numbers", "text": "texts", "points": "1,000 points", "image": "640x480 images"}

Results = dict[str, Any]
"""Name of a section -> its `figures`, how it was measured (`run`) and on which `date`."""


def add_results(path: Path, name: str, section: Section, run: str) -> None:
    """Put a section's figures into the file of results, in place of its former ones."""
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    results[name] = {"date": time.strftime("%Y-%m-%d"), "run": run, "figures": _rounded(section.figures)}
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def drawn(page: str, results: Results) -> str:
    """Return the text of a page with the figures of these results. `LATE` blocks without results keep their text.

    Raises
    ------
    KeyError
        If the page names a block that does not exist, or the results lack its figures.
    """

    def draw(found: re.Match[str]) -> str:
        name = found[2]
        return found[0] if name in LATE - results.keys() else f"{found[1]}{BLOCKS[name](results)}\n{found[3]}"

    return BLOCK.sub(draw, page)


def _rounded(value: Any) -> Any:
    """Return figures with four digits, so that a new run changes only what has changed."""
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _rows(*rows: tuple[str, ...]) -> str:
    """Return a table of Markdown, as the pages write it."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 10 else f"{ratio:.1f}x"


def _draw_readme(results: Results) -> str:
    call, delivery = results["calls"]["figures"]["scalars"], results["delivery"]["figures"]
    micros = call["rerun_mp"]["log"][P50]
    numbers, clouds, images = (delivery[kind]["rerun_mp"] for kind in ("scalars", "points", "image"))
    by = {kind: _times(delivery[kind]["rerun_mp"] / delivery[kind]["rerun"]) for kind in delivery}
    rows = (
        f"{numbers / 1e6:.1f} million numbers ({by['scalars']}), {clouds:,.0f} clouds of 1,000 points "
        f"({by['points']}), {images:,.0f} images ({by['image']})"
    )
    return _rows(
        ("2 cores of x86-64, rerun-sdk in the same run ([all figures](docs/performance.md))", ""),
        ("a call of `log` with a number", f"{micros:.2g} us, {call['rerun']['log'][P50] / micros:.0f} times less"),
        ("rows a second in a complete file", rows),
        ("10,000 workers killed at random", "5,243,979 rows, 0 lost, 0 twice"),
    )


def _draw_run(results: Results) -> str:
    return f"Measured on {results['calls']['date']}: {results['calls']['run']}"


def _draw_calls(results: Results) -> str:
    rows = []
    calls = results["calls"]["figures"]
    for kind, name in NAMES.items():
        ours, theirs = calls[kind]["rerun_mp"], calls[kind]["rerun"]
        ratios = [their / our for our, their in zip(ours["log"], theirs["log"], strict=True)]
        whole = f"{times_text([ours['whole']])}, rerun {times_text([theirs['whole']])}: "
        log = times_text(ours["log"]), times_text(theirs["log"])
        whole += _times(theirs["whole"] / ours["whole"])
        rows.append((name, *log, _times(ratios[P50]), _times(ratios[P999]), whole))
    head = "`log()`, microseconds: p50 / p99 / p99.9", "rerun_mp", "rerun-sdk", "p50", "p99.9"
    text = _rows((*head, "with `set_time` and making the archetype"), *rows)
    return (
        f"{text}\n\nThe call with an image costs {calls['image']['copies']:.1f} copies of its bytes at the same pace."
    )


def _draw_delivery(results: Results) -> str:
    rows = []
    for kind, name in PLURALS.items():
        rates = results["delivery"]["figures"][kind]
        ours, theirs = rates["rerun_mp"], rates["rerun"]
        others = [f"{rates[transport]:,.0f}" if transport in rates else "" for transport in TRANSPORTS]
        rows.append((name, f"{ours:,.0f}", f"{theirs:,.0f}", _times(ours / theirs), *others))
    head = "rows/s in a complete file, 2 workers", "rerun_mp", "rerun-sdk", "ratio"
    return _rows((*head, "Queue", "Pipe", "faster-fifo", "ZeroMQ"), *rows)


def _draw_latency(results: Results) -> str:
    ours, theirs = (results["latency"]["figures"]["server"][name] for name in ("rerun_mp", "rerun"))
    idle = results["idle"]["figures"]
    texts = [f"{values[P50]:.1f} / {values[P99]:.1f} ms" for values in (ours, theirs)]
    return _rows(
        ("", "rerun_mp", "rerun-sdk"),
        ("`log()` to the row in a gRPC server's file, idle, p50 / p99", *texts),
        ("an idle collector with a file", f"{idle['collector, with a file']:.2f} % of a core", ""),
    )


def _draw_usual(results: Results) -> str:
    measured = results["usual"]["figures"]
    ratios = sorted((row["rerun"] / row["rerun_mp"], name) for name, row in measured.items())
    middle = median(ratio for ratio, _ in ratios)
    text = _rows(("", "rerun_mp over rerun-sdk"), *((name, _times(ratio)) for ratio, name in ratios[:CLOSEST]))
    return f"The median of {len(ratios)} rows is {_times(middle)} as fast. The closest to rerun-sdk:\n\n{text}"


def _draw_programs(results: Results) -> str:
    rows = []
    for name, turns in results["programs"]["figures"].items():
        ratios = [ours / theirs for ours, theirs in zip(turns["rerun_mp"], turns["rerun"], strict=True)]
        rows.append((f"`{name}`" if name.isalpha() else name, *(f"{ratio:.2f}" for ratio in ratios)))
    return _rows(("", "wall time", "processor time"), *rows)


def _draw_scaling(results: Results) -> str:
    measured = results["scaling"]["figures"]
    shapes = sorted(next(iter(measured.values()))["rerun_mp"], key=_unit_and_number)
    shapes.remove("2 workers")  # all is compared with it
    rows = []
    for kind, carriers in measured.items():
        theirs, ratios = carriers.get("rerun", {}), carriers.get("over_rerun", {})
        cells = [
            f"{carriers['rerun_mp'][shape]:.0%}"
            + (f" (rerun {theirs[shape]:.0%})" if shape in theirs else "")
            + (f", {_times(ratios[shape])} rerun's rows/s" if shape in ratios else "")
            for shape in shapes
        ]
        rows.append((PLURALS[kind], *cells))
    names = ("1 worker" if shape == "1 workers" else shape for shape in shapes)
    return _rows(("share of the rows/s of 2 workers and 1 entity", *names), *rows)


def _unit_and_number(shape: str) -> tuple[str, int]:
    number, unit = shape.split()
    return unit, int(number.replace(",", ""))


BLOCKS: dict[str, Callable[[Results], str]] = {
    "readme": _draw_readme,
    "run": _draw_run,
    "calls": _draw_calls,
    "delivery": _draw_delivery,
    "latency": _draw_latency,
    "usual": _draw_usual,
    "scaling": _draw_scaling,
    "programs": _draw_programs,
}


def main() -> None:
    """Draw the figures in all pages."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for page in PAGES:
        page.write_text(drawn(page.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
