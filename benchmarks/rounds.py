"""Runs rounds: each job in a fresh process, with a session and directories of its own; disturbed rounds run again.

A round is disturbed if other programs use more than a tenth of a core during it. The runner repeats it a few times. If
every repetition is disturbed, it keeps the least disturbed one and marks it `!`.

If a round's file lacks rows, the command ends with 1.
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
"""Environment variables that the user may set, to compare settings."""

MAX_FOREIGN = 0.1
"""Cores that other programs may use before a round counts as disturbed."""
ROUND_SECS = 180.0
"""Maximum seconds of a round, besides the seconds that its job asks for."""
END_SECS = 20.0
"""Maximum seconds from the end of a program until its session is gone."""


class RoundError(RuntimeError):
    """A round's program failed, or its session did not end."""


@dataclass(frozen=True, slots=True)
class Round:
    """The measurements of a round."""

    job: Job
    figures: dict[str, Any]

    @property
    def foreign(self) -> float:
        """Cores that other programs used during the round."""
        return float(self.figures["foreign"])

    @property
    def lost(self) -> int:
        """Logged rows that are not in the file."""
        return int(self.figures["expected"] - self.figures["rows"])


@dataclass(slots=True)
class Runner:
    """Runs jobs, and collects their errors."""

    max_repeats: int
    directory: Path
    """Directory for temporary recordings, of gigabytes."""
    errors: list[str] = field(default_factory=list)

    def run(self, job: Job) -> Round:
        """Run a job until a round is undisturbed, and return the least disturbed round.

        Raises
        ------
        RoundError
            If its program fails.
        """
        best: Round | None = None
        for _ in range(1 + self.max_repeats):
            result = self._run_once(job)
            if best is None or result.foreign < best.foreign:
                best = result
            if best.foreign <= MAX_FOREIGN:
                break
        assert best is not None
        return best

    def turns(self, jobs: Sequence[Job], turns: int) -> dict[Job, list[Round]]:
        """Run several jobs in turns."""
        rounds: dict[Job, list[Round]] = {job: [] for job in jobs}
        for turn in range(turns):
            # The order changes from turn to turn.
            for job in jobs if turn % 2 == 0 else reversed(jobs):
                rounds[job].append(self.run(job))
        return rounds

    def _run_once(self, job: Job) -> Round:
        watch = SessionWatch()
        # A short path, because socket paths below it have a maximum length.
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
    """Wait until a session is gone, so that it does not disturb the next round."""
    try:
        wait_until(
            lambda: not watch.segment.exists() and not any(watch.collectors().values()),
            timeout_secs=END_SECS,
            what="the end of the session",
        )
    except TimeoutError as error:
        raise RoundError(str(error)) from error


def _remove_session(watch: SessionWatch) -> None:
    """Wait for the end of a session, and end it if it does not end by itself, as after a failure."""
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
    """The maximum over the turns that count, in cores."""
    is_disturbed: bool
    """Whether every turn was disturbed; then all of them count."""

    def __getitem__(self, name: str) -> Any:
        return self.figures[name]

    @property
    def others(self) -> str:
        """The text for the table's column about other programs."""
        return f"{self.foreign:.2f}{' !' if self.is_disturbed else ''}"


def medians(rounds: Sequence[Round]) -> Summary:
    """Return the medians of the undisturbed rounds, or of all rounds if every one was disturbed."""
    quiet = [result for result in rounds if result.foreign <= MAX_FOREIGN]
    chosen = quiet or list(rounds)
    figures: dict[str, Any] = {}
    for name, value in chosen[0].figures.items():
        values = [result.figures[name] for result in chosen]
        is_list = isinstance(value, list)
        figures[name] = [median(column) for column in zip(*values, strict=True)] if is_list else median(values)
    return Summary(rounds[0].job, figures, len(chosen), max(result.foreign for result in chosen), not quiet)
