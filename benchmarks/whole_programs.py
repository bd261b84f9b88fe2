"""Whole programs beside rerun-sdk: the shortest one, and programs like rerun's own examples.

The shortest program imports, calls `init` and `save`, logs one number and ends. It runs with nothing else installed,
and with each package of `BESIDE` beside it, which an import may load unasked. The other programs do what rerun's
examples of these names do, with as much data (`example_programs`).

Usage: `python -m benchmarks.whole_programs [TURNS] [--results FILE]`; the file is that of `figures`. Installs the
packages of `BESIDE` into a temporary directory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.example_programs import PROGRAMS
from benchmarks.figures import add_results
from benchmarks.report import Section, Target, table
from benchmarks.turns import Turn, compare, prepare, run_program

BESIDE = {
    "pandas": ("pandas", "python-dateutil", "six", "tzdata"),
    "cv2": ("opencv-python-headless",),
    "torch": ("torch",),
}
"""Name -> what pip installs, without what these demand further. torch takes 2 GB; its libraries are not installed."""
MAX_WALL, MAX_PROCESSOR = 1.0, 1.3
"""Bounds of our figures over rerun's."""
HEADER = ("seconds: wall / processors", "rerun-sdk", "rerun_mp", "ratio")


def main(arguments: list[str]) -> int:
    """Measure and print. Return 1 if a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_programs", description=__doc__)
    parser.add_argument("turns", nargs="?", type=int, default=7)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args(arguments)
    prepare()
    section = Section("Whole programs", HEADER)
    with tempfile.TemporaryDirectory() as directory:
        _add_short_program(section, directory, options.turns)
        _add_real_programs(section, directory, options.turns)
    print(section)
    print(table(("target", "measured", "bound", ""), [target.row() for target in section.targets]))
    if options.results is not None:
        add_results(options.results, "programs", section, f"medians of {options.turns} turns.")
    return int(not all(target.is_met for target in section.targets))


def _add_short_program(section: Section, directory: str, turns: int) -> None:
    for name in ("", *BESIDE):
        paths = _installed(name, directory) if name else ()
        title = f"the shortest program{f', with {name} installed' if name else ''}"
        if paths is None:
            section.notes += f"{name} could not be installed here. "
            continue
        _add(section, title, _measured("shortest", directory, turns, paths), has_processor_target=True)


def _add_real_programs(section: Section, directory: str, turns: int) -> None:
    for name in PROGRAMS:
        if name != "shortest":
            _add(section, name, _measured(name, directory, turns, ()))


def _measured(name: str, directory: str, turns: int, paths: tuple[str, ...]) -> dict[str, Turn]:
    program = str(Path(__file__).with_name("example_programs.py"))

    def run(package: str) -> Turn:
        return run_program([program, package, name, f"{directory}/{package}.rrd"], directory, paths)

    return compare(run, turns)


def _add(section: Section, name: str, found: dict[str, Turn], *, has_processor_target: bool = False) -> None:
    theirs, ours = found["rerun"], found["rerun_mp"]
    wall, processor = ours.wall / theirs.wall, ours.processor / theirs.processor
    texts = [f"{turn.wall:.2f} / {turn.processor:.2f}" for turn in (theirs, ours)]
    section.figures[name] = {package: [turn.wall, turn.processor] for package, turn in found.items()}
    section.rows.append((name, *texts, f"{wall:.2f} / {processor:.2f}"))
    section.targets.append(Target(f"{name}: wall time, ours over rerun's", wall, at_most=MAX_WALL))
    if has_processor_target:
        section.targets.append(Target(f"{name}: processors, ours over rerun's", processor, at_most=MAX_PROCESSOR))


def _installed(name: str, directory: str) -> tuple[str, ...] | None:
    """Install a package into a directory of its own. None: that fails, for example without a network."""
    target = f"{directory}/{name}"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, *BESIDE[name]]
    done = subprocess.run(command, check=False, capture_output=True)
    return (target,) if done.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
