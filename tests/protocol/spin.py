"""Runs one check of a model: spin makes a verifier of it, the C compiler builds that, and it visits every state.

A search that did not visit every state proves nothing; it is reported as incomplete, which is never what is expected.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Check", "Mode", "Outcome", "Result", "missing_programs", "run"]

MODELS = Path(__file__).parent
MEMORY_MB = 2000
MAX_STEPS = 1_000_000
TIMEOUT_SECS = 300
LAST_STEPS = 60
"""How much of a counterexample is shown."""


class Mode(Enum):
    """What the verifier looks for."""

    ASSERTIONS = "assertions"
    """A state that can be reached and violates an assertion."""
    CYCLES = "cycles"
    """A run without end, and assertions. None: every run comes to the end at which `Observer` looks."""


class Outcome(Enum):
    """What a search has come to."""

    HOLDS = "holds"
    FAILS = "fails"
    INCOMPLETE = "incomplete"


@dataclass(frozen=True, slots=True)
class Check:
    """A model, a variant of it, and the expected outcome."""

    model: str
    """Name of the file, without its suffix."""
    switches: tuple[str, ...] = ()
    """Definitions for this variant, each as NAME or NAME=VALUE."""
    breaks: str | None = None
    """Part of the assertion that a counterexample must break. None: no counterexample may exist."""
    mode: Mode = Mode.ASSERTIONS
    quick: bool = False
    """Whether the check belongs to the tests that run at every change."""

    @property
    def name(self) -> str:
        """How people and pytest speak of it."""
        mode = " (every run ends)" if self.mode is Mode.CYCLES else ""
        return f"{self.model} {' '.join(self.switches) or '-'}{mode}"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a check."""

    outcome: Outcome
    violated: str
    """The assertion of which there is a counterexample, or what else was found."""
    states: int
    depth: int
    secs: float
    """Processor time of it all."""
    trail: str
    """The last steps of the counterexample."""

    def surprise(self, check: Check) -> str | None:
        """Return what is not as `check` says, or None."""
        expected = Outcome.HOLDS if check.breaks is None else Outcome.FAILS
        if self.outcome is not expected:
            return f"{check.name}: {self.outcome.value}, expected: {expected.value}. {self.violated}\n{self.trail}"
        if check.breaks is not None and _squeezed(check.breaks) not in _squeezed(self.violated):
            return f"{check.name}: fails by {self.violated!r}, expected: {check.breaks!r}\n{self.trail}"
        return None


def missing_programs() -> str | None:
    """Return what is needed for a check and is not installed, or None."""
    # spin itself calls gcc, as its preprocessor.
    missing = [program for program in ("spin", "gcc") if shutil.which(program) is None]
    return " and ".join(missing) or None


def run(check: Check) -> Result:
    """Run a check. Its files live in a temporary directory, and only as long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="rmp-protocol-") as name:
        directory = Path(name)
        source = f"{check.model}.pml"
        shutil.copyfile(MODELS / source, directory / source)
        defines = [f"-D{switch}" for switch in check.switches]
        _must(["spin", *defines, "-a", source], directory)
        kind = "-DNP" if check.mode is Mode.CYCLES else "-DSAFETY"
        # Compiling for speed, and clearing a large table, take longer than a quick search.
        optimisation, table_bits = ("-O0", 20) if check.quick else ("-O1", 23)
        _must(["gcc", optimisation, "-w", kind, f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"], directory)
        flags = [f"-m{MAX_STEPS}", f"-w{table_bits}", "-E", *(["-l"] if check.mode is Mode.CYCLES else [])]
        # What must not be found is searched for to the end, and what must be found until it is.
        said = _must(["./pan", *flags], directory)
        trail = ""
        if (directory / f"{source}.trail").exists():
            replayed = _must(["spin", *defines, "-t", "-p", source], directory)
            trail = "\n".join(replayed.splitlines()[-LAST_STEPS:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    secs = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _result(said, secs, trail)


def _result(said: str, secs: float, trail: str) -> Result:
    errors = re.search(r"depth reached (\d+), errors: (\d+)", said)
    states = re.search(r"([\d.e+]+) states, stored", said)
    found = re.search(r"pan:\d+: (?:assertion violated )?(.*) \(at depth", said)
    violated = found[1].strip() if found else ""
    if errors is not None and int(errors[2]):
        outcome = Outcome.FAILS
    elif errors is None or "Search not completed" in said or "max search depth too small" in said:
        outcome, violated = Outcome.INCOMPLETE, said
    else:
        outcome = Outcome.HOLDS
    depth = int(errors[1]) if errors else 0
    return Result(outcome, violated, int(float(states[1])) if states else 0, depth, secs, trail)


def _must(command: list[str], directory: Path) -> str:
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    said = done.stdout + done.stderr
    # The verifier's own status says whether it found an error; spin's and the compiler's, whether they could work.
    if done.returncode and command[0] != "./pan":
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode} after {time.monotonic() - began:.1f} s:\n{said}"
        )
    return said


def _squeezed(text: str) -> str:
    return "".join(text.split())
