"""The processor time of a call for each usual row: making it, `set_time` and `log`, beside rerun-sdk.

Processor time of the calling thread, because other programs disturb it little. Each turn measures in a fresh process;
the two packages take turns. Usage: `python -m benchmarks.usual [TURNS] [--results FILE]`; the file is that of
`figures`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.figures import add_results
from benchmarks.report import Section, Target, table
from benchmarks.usual_rows import usual_rows

ROOT = Path(__file__).resolve().parents[1]
CALLS = 400
WARM_CALLS = 50
REPEATS = 5
"""The fastest repetition counts: whatever disturbs a call makes it slower."""
MIN_RATIO, MIN_MEDIAN, AIMED_MEDIAN = 2.0, 5.0, 10.0


def main(arguments: list[str]) -> int:
    """Measure and print. Return 1 if a target is missed."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(measure(*arguments[1:])))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks.usual", description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args(arguments)
    taken: dict[str, list[dict[str, float]]] = {"rerun": [], "rerun_mp": []}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(options.turns):
            for package, results in taken.items():
                results.append(_turn(package, directory))
    section = Section("Usual rows", ("microseconds of a processor", "rerun-sdk", "rerun_mp", "ratio"))
    ratios = []
    for name in taken["rerun"][0]:
        theirs, ours = (median(turn[name] for turn in taken[package]) for package in ("rerun", "rerun_mp"))
        ratios.append(theirs / ours)
        section.figures[name] = {"rerun": theirs, "rerun_mp": ours}
        section.rows.append((name, f"{theirs:.1f}", f"{ours:.1f}", f"{theirs / ours:.1f}x"))
    print(section)
    if options.results is not None:
        add_results(options.results, "usual", section, f"medians of {options.turns} turns.")
    targets = [
        Target("slowest row, rerun's time over ours", min(ratios), MIN_RATIO),
        Target("median row", median(ratios), MIN_MEDIAN, aim=AIMED_MEDIAN),
    ]
    print("\n" + table(("target", "measured", "bound", ""), [target.row() for target in targets]))
    return int(not all(target.is_met for target in targets))


def measure(package: str, path: str) -> dict[str, float]:
    """Return the microseconds of a call by the name of the row."""
    rr: Any = importlib.import_module(package)
    rr.init("usual")
    rr.save(path)
    found = {}
    for name, log_row in usual_rows(rr).items():
        entity = name.replace(" ", "_").replace(",", "")

        def log(*archetypes: Any, entity: str = entity, **options: Any) -> None:
            rr.log(entity, *archetypes, **options)

        def calls(number: int, log: Any = log, log_row: Any = log_row) -> float:
            begin = time.thread_time_ns()
            for step in range(number):
                rr.set_time("step", sequence=step)
                log_row(log)
            return (time.thread_time_ns() - begin) / number / 1e3

        calls(WARM_CALLS)
        found[name] = min(calls(CALLS // REPEATS) for _ in range(REPEATS))
    return found


def _turn(package: str, directory: str) -> dict[str, float]:
    environment = {**os.environ, "XDG_RUNTIME_DIR": directory, "XDG_CACHE_HOME": directory, "RUST_LOG": "error"}
    while os.path.exists(os.path.join(directory, "rerun_mp")):
        time.sleep(0.01)  # until the collector of the turn before has ended
    command = [sys.executable, "-m", "benchmarks.usual", "--one", package, os.path.join(directory, f"{package}.rrd")]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
