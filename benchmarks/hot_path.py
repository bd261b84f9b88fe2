"""All promises of rerun_mp about speed and size, measured beside rerun-sdk and beside transports of bytes.

`make bench` or `python -m benchmarks.hot_path` prints Markdown. rerun_mp and each peer take turns, each run in fresh
processes; the figures are medians of the turns. Quote the ratios. Each line says how many cores other programs used
during the run. A run with more than a tenth of a core is repeated, and marked `!` if every repetition was disturbed.
Every run counts its rows in the file: a lost row is an error, and the command ends with 1. The targets at the end are
the project's own; a missed target is no error.

`python -m benchmarks.hot_path --results benchmarks/results.json` also keeps the figures of its sections; then
`python -m benchmarks.figures` draws them in README.md and docs/performance.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import calls, delivery, idle, latency, memory, scaling
from benchmarks.figures import add_results
from benchmarks.plan import Plan
from benchmarks.report import Section, Target, table
from benchmarks.rounds import RoundError, Runner
from benchmarks.workloads import KINDS, LOGGERS, TRANSPORTS

__all__ = ["SECTIONS", "main", "plan_of"]

SECTIONS = ("calls", "delivery", "peers", "scaling", "memory", "latency", "idle")
REPEATS = 3
"""Maximum number of repetitions of a disturbed run."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends and removes the current round
    plan = plan_of(options)
    repeats = (0 if options.quick else REPEATS) if options.repeats is None else options.repeats
    runner = Runner(repeats, options.directory)
    begin = time.monotonic()
    print(_heading(plan, is_quick=options.quick), flush=True)
    targets: list[Target] = []
    for name, measure in _sections(runner, plan, options.only):
        try:
            section = measure()
        except RoundError as error:
            runner.errors.append(f"{name}: {error}")
            print(f"ERROR {runner.errors[-1]}", file=sys.stderr, flush=True)
            continue
        targets += section.targets
        print(f"\n{section}", flush=True)
        if options.results is not None:
            add_results(options.results, name, section, _heading(plan, is_quick=options.quick))
    print(f"\n### Targets\n\n{table(('what', 'figure', 'target', ''), [target.row() for target in targets])}\n")
    missed = sum(not target.is_met for target in targets)
    print(f"{len(targets)} targets, {missed} missed; {(time.monotonic() - begin) / 60:.1f} minutes.")
    for text in runner.errors:
        print(f"ERROR {text}", file=sys.stderr)
    return 1 if runner.errors else 0


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan that the command line chooses."""
    plan = Plan.quick() if options.quick else Plan()
    chosen = ("kinds", "carriers", "workers", "entities", "turns", "share", "latency_rows", "idle_secs")
    given: dict[str, Any] = {}
    for name in chosen:
        value = getattr(options, name)
        if value is not None:
            given[name] = tuple(value) if isinstance(value, list) else value
    return replace(plan, **given)


def _sections(runner: Runner, plan: Plan, only: list[str]) -> Iterator[tuple[str, Callable[[], Section]]]:
    if "calls" in only:
        yield "calls", lambda: calls.run(runner, plan)
    if "delivery" in only or "peers" in only:
        carriers = delivery.carriers_of(plan, loggers="delivery" in only, transports="peers" in only)
        yield "delivery", lambda: delivery.run(runner, plan, carriers)
    for name, module in (("scaling", scaling), ("memory", memory), ("latency", latency), ("idle", idle)):
        if name in only:
            yield name, lambda run=module.run: run(runner, plan)  # type: ignore[misc]


def _heading(plan: Plan, *, is_quick: bool) -> str:
    import importlib.metadata

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("rerun-sdk", "numpy", "pyarrow"))
    text = (
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}; "
        f"medians of {plan.turns} turns."
    )
    return f"{text} A quick run: it shows that everything works; its figures mean nothing." if is_quick else text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hot_path", description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="these sections (default: all)")
    add("--quick", action="store_true", help="a tenth of the rows, one turn, no repetition: does everything run?")
    add("--kinds", nargs="+", choices=KINDS, help="these kinds of rows (default: all)")
    add("--carriers", nargs="+", choices=(*LOGGERS, *TRANSPORTS), help="compare with these (default: all)")
    add("--workers", nargs="+", type=int, metavar="N", help="numbers of workers for scaling (default: 1 2 8 64)")
    add("--entities", nargs="+", type=int, metavar="N", help="numbers of entities for scaling (default: 1 50 2000)")
    add("--turns", type=int, metavar="N", help="turns of rerun_mp and of each peer (default: 3)")
    add("--repeats", type=int, metavar="N", help=f"maximum repetitions of a disturbed run (default: {REPEATS})")
    add("--share", type=float, metavar="X", help="share of the rows of a full run (default: 1)")
    add("--latency-rows", type=int, metavar="N", help="rows of each turn (default: 100)")
    add("--idle-secs", type=float, metavar="SECONDS", help="seconds to watch an idle process (default: 30)")
    add("--results", type=Path, metavar="FILE", help="also put the figures into this file, which `figures` draws")
    add(
        "--directory",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="a short path for temporary recordings, up to 2 GB (default: %(default)s)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
