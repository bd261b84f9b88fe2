"""Pairs of containers that share home, temporary directory and the directory of their files, but not /dev/shm.

Both start at the same time, and save to the same path or to two. Then the program, the collector or the whole container
of one of them is killed. A container takes the rows in its memory with it, but not those that a flush has confirmed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections import Counter
from pathlib import Path

import psutil

from tests.harness.containers import in_container
from tests.harness.programs import ROOT, Program, wait_until
from tests.soak.counting import STOP, Counts, check_counts, rows_in
from tests.soak.recovering import recover

__all__ = ["run_pair"]

LIMIT_SECS = 120.0
FAULTS = ("program", "collector", "container", "nothing")


class Contained:
    """A program in a container of its own."""

    def __init__(self, own: Path, name: str, path: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.counts = Counts(own / f"{name}.counts", create=True)
        directory = own / f"container-{name}"
        directory.mkdir()
        command, *arguments = in_container(ROOT / "tests/soak/counting.py", path, name, own / f"{name}.counts")
        self.program = Program(Path(command), *arguments, directory=directory, env=environment, fresh=True)

    def processes(self, *words: str) -> list[psutil.Process]:
        """Return the container's processes whose command lines have one of these words."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.program.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    line = process.cmdline()
                    if any(word in one for one in line for word in words) and "--inside" not in line:
                        found.append(process)
        return found

    def kill(self, fault: str) -> None:
        """Kill the program, the collector, or the whole container."""
        if fault == "container":
            self.program.end()
            return
        for process in self.processes("counting.py" if fault == "program" else "rerun_mp.collector"):
            with contextlib.suppress(psutil.NoSuchProcess):
                os.kill(process.pid, signal.SIGKILL)


def run_pair(own: Path, environment: dict[str, str], seed: str) -> tuple[Counter[str], int, int, int]:
    """Run a pair in `own`. Returns the faults, and the rows that were returned, that are lost, and that occur twice.

    Raises
    ------
    AssertionError
        If a program failed, said something about recoveries, or has too many rows.
    """
    choose = random.Random(seed)
    out = own / "out"
    out.mkdir()
    faults: Counter[str] = Counter()
    paths = [out / "same.rrd"] * 2 if choose.random() < 0.5 else [out / "a.rrd", out / "b.rrd"]
    pair = [Contained(own, name, path, environment) for name, path in zip("ab", paths, strict=True)]
    try:
        wait_until(lambda: all(one.counts.stored for one in pair), timeout_secs=LIMIT_SECS, what="both programs")
        victim, fault = choose.choice(pair), choose.choice(FAULTS)
        before = [one.counts.returned for one in pair]
        wait_until(
            lambda: all(one.counts.returned > rows + 100 for one, rows in zip(pair, before, strict=True)),
            timeout_secs=LIMIT_SECS,
            what="more rows",
        )
        if fault != "nothing":
            victim.kill(fault)
            faults[f"{fault} in a container killed"] += 1
        for one in pair:
            one.counts.words[STOP] = 1
        for one in pair:
            done = one.program.wait(timeout_secs=LIMIT_SECS)
            if one is not victim or fault in ("collector", "nothing"):
                done.check()
            assert "recover" not in done.stderr, done.stderr
    finally:
        for one in pair:
            one.program.end()
    recover(own, environment, LIMIT_SECS)
    found, twice = rows_in(out)
    lost = 0
    for one in pair:
        is_gone = one is victim and fault == "container"
        least = one.counts.stored if is_gone else one.counts.returned
        # A call of a killed program may have committed its row without returning.
        lost += check_counts(found, one.name, least, one.counts.returned + 1)
    return faults, sum(one.counts.returned for one in pair), lost, twice
