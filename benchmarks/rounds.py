"""Runs rounds: each job in a fresh process, with a session and directories of its own, again while others disturb it.

A round is disturbed when other programs took more than a tenth of a core meanwhile. It is repeated a few times; if no
repetition is left in peace, the one that was disturbed least is kept and marked `!`.

A round whose file lacks rows is kept, and an error: the command ends with 1.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import TOKEN_VARIABLE
from benchmarks.workloads import Job
from tests.harness.programs import ROOT, wait_until
from tests.harness.sessions import SessionWatch

__all__ = ["MAX_FOREIGN", "Round", "RoundError", "Runner", "Summary", "medians"]

SETTINGS = ("RERUN_MP_RING_BYTES", "RERUN_MP_SLOT_BYTES", "RERUN_MP_FLUSH_TICK")
"""What may be set from outside, to compare settings."""

MAX_FOREIGN = 0.1
ROUND_SECS = 180.0
END_SECS = 20.0
"""How long a session may take to vanish when its program has ended."""


class RoundError(RuntimeError):
    """A round's program failed, or left something behind."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a round measured."""

    job: Job
    figures: dict[str, Any]

    @property
    def foreign(self) -> float:
        """Cores that others used meanwhile."""
        return float(self.figures["foreign"])

    @property
    def lost(self) -> int:
        """Rows that were logged and are not in the file."""
        return int(self.figures["expected"] - self.figures["rows"])


@dataclass(slots=True)
class Runner:
    """Runs jobs, and keeps account of what went wrong."""

    most_repeats: int
    directory: Path
    """Where recordings lie while they are counted; gigabytes."""
    errors: list[str] = field(default_factory=list)

    def run(self, job: Job) -> Round:
        """Run a job until it is left in peace, and return the round that was disturbed least.

        Raises
        ------
        RoundError
            If its program fails.
        """
        best: Round | None = None
        for _ in range(1 + self.most_repeats):
            result = self._run_once(job)
            if best is None or result.foreign < best.foreign:
                best = result
            if best.foreign <= MAX_FOREIGN:
                break
        assert best is not None
        return best

    def turns(self, jobs: Sequence[Job], turns: int) -> dict[Job, list[Round]]:
        """Run several jobs turn about."""
        rounds: dict[Job, list[Round]] = {job: [] for job in jobs}
        for turn in range(turns):
            # Who comes first changes from turn to turn.
            for job in jobs if turn % 2 == 0 else reversed(jobs):
                rounds[job].append(self.run(job))
        return rounds

    def _run_once(self, job: Job) -> Round:
        watch = SessionWatch()
        # A short path: sockets lie under it.
        directory = Path(tempfile.mkdtemp(prefix="rmp-bench-", dir=self.directory))
        try:
            figures = _run_program(job, directory, watch)
            _wait_for_end(watch)
        finally:
            _remove_session(watch)
            shutil.rmtree(directory, ignore_errors=True)
        return self._checked(Round(job, figures))

    def _checked(self, result: Round) -> Round:
        if result.lost:
            message = f"{result.lost} of {result.figures['expected']} rows lost: {result.job}"
            # A peer that loses rows is worth a line; that it does is why this project exists.
            if result.job.carrier == "rerun":
                print(f"rerun-sdk lost rows: {message}", file=sys.stderr, flush=True)
            else:
                self.errors.append(message)
                print(f"ERROR {message}", file=sys.stderr, flush=True)
        return result


def _run_program(job: Job, directory: Path, watch: SessionWatch) -> dict[str, Any]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("RERUN") or name in SETTINGS}
    environment |= {"RUST_LOG": "error", TOKEN_VARIABLE: secrets.token_hex(8), **watch.environment}
    for variable in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "TMPDIR"):
        (directory / variable).mkdir(mode=0o700)
        environment[variable] = str(directory / variable)
    command = [sys.executable, "-m", "benchmarks.programs", job.to_json(), str(directory)]
    with (directory / "stdout").open("wb") as stdout, (directory / "stderr").open("wb") as stderr:
        program = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, process_group=0
        )
        try:
            code = program.wait(ROUND_SECS + job.secs)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            if program.poll() is None:
                os.killpg(program.pid, 9)  # its own group: workers and servers too
                program.wait()
    if code != 0:
        said = (directory / "stderr").read_text(errors="replace")[-4000:]
        raise RoundError(f"{job} {'hung' if code is None else f'ended with {code}'}:\n{said}")
    figures: dict[str, Any] = json.loads((directory / "stdout").read_text().splitlines()[-1])
    return figures


def _wait_for_end(watch: SessionWatch) -> None:
    """Wait until nothing of a session is left, so that it disturbs no other round."""
    try:
        wait_until(
            lambda: not watch.segment.exists() and not any(watch.collectors().values()),
            timeout_secs=END_SECS,
            what="the end of the session",
        )
    except TimeoutError as error:
        raise RoundError(str(error)) from error


def _remove_session(watch: SessionWatch) -> None:
    """Wait for the end of a session, and end it if it does not by itself: after a failure only."""
    try:
        _wait_for_end(watch)
    except RoundError:
        for process in [process for group in watch.collectors().values() for process in group]:
            process.kill()
        watch.segment.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of the turns of one job."""

    job: Job
    figures: dict[str, Any]
    turns: int
    foreign: float
    """The most of any turn that counts."""
    is_disturbed: bool
    """No turn was left in peace: all of them count."""

    def __getitem__(self, name: str) -> Any:
        return self.figures[name]

    @property
    def others(self) -> str:
        """What the table says about it."""
        return f"{self.foreign:.2f}{' !' if self.is_disturbed else ''}"


def medians(rounds: Sequence[Round]) -> Summary:
    """Return the medians of the rounds that were left in peace, or of all if none was."""
    quiet = [result for result in rounds if result.foreign <= MAX_FOREIGN]
    chosen = quiet or list(rounds)
    figures: dict[str, Any] = {}
    for name, value in chosen[0].figures.items():
        values = [result.figures[name] for result in chosen]
        is_list = isinstance(value, list)
        figures[name] = [median(column) for column in zip(*values, strict=True)] if is_list else median(values)
    return Summary(rounds[0].job, figures, len(chosen), max(result.foreign for result in chosen), not quiet)
