"""Turns of whole programs: each runs in a fresh interpreter, with rerun and with rerun_mp by turns.

Wall time is what a user waits for: from the start of the interpreter to its end. Processor time is that of all
processes, the collector too. The collector is no child of the program, so this process makes itself the subreaper and
waits for it. Linux only.
"""

from __future__ import annotations

import compileall
import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

__all__ = ["PACKAGES", "ROOT", "Turn", "compare", "prepare", "run_program"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rerun", "rerun_mp")
PR_SET_CHILD_SUBREAPER = 36


class Turn(NamedTuple):
    """The seconds of one program."""

    wall: float
    processor: float
    """Of all processes."""


def prepare() -> None:
    """Adopt the collectors of the programs, and compile the package as an installer does."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("this system has no subreapers, so the collector's processor time cannot be measured")
    compileall.compile_dir(ROOT / "rerun_mp", quiet=1)


def run_program(command: Sequence[str], directory: str, paths: Sequence[str] = ()) -> Turn:
    """Run `python COMMAND` and wait until its collector has ended, too.

    `paths` are directories of further packages.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)]),
        "XDG_RUNTIME_DIR": directory,
        "XDG_CACHE_HOME": directory,
        "RUST_LOG": "error",
    }
    before, begin = _processor_secs(), time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - begin
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return Turn(wall, _processor_secs() - before)


def compare(run: Callable[[str], Turn], turns: int) -> dict[str, Turn]:
    """Return the medians of `run(package)` by package. The first turn reads the disk, and does not count."""
    taken: dict[str, list[Turn]] = {package: [] for package in PACKAGES}
    for _ in range(turns + 1):
        for package, results in taken.items():
            results.append(run(package))
    return {
        package: Turn(median(turn.wall for turn in results[1:]), median(turn.processor for turn in results[1:]))
        for package, results in taken.items()
    }


def _processor_secs() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
