"""User programs, run as processes of their own, as a user would run them.

A program's output goes to files, not to pipes: a worker or collector that outlives the program may keep its output
open, and reading a pipe to its end would wait for that process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.harness.preloading import PreloadedProcess, may_preload, start_preloaded

__all__ = ["COMMAND", "ROOT", "SLOWNESS", "Finished", "Program", "run_program", "slowdown", "wait_until"]

ROOT = Path(__file__).resolve().parents[2]
"""The root of the source tree."""

COMMAND = "import sys; from rerun_mp.__main__ import main; sys.exit(main())"
"""The command `rerun-mp`, as a program that a test runs with the command's arguments."""

SLOWNESS = float(os.environ.get("TESTS_SLOWNESS", "1"))
"""How many times slower than usual this machine is, such as an emulated one. Limits of time are multiplied by it."""
POLL_SECS = 0.01
STACKS_SECS = 30.0
"""Seconds that a program may take to write its stacks."""
WAIT_SECS = 60.0
"""Default limit of a wait. Only a failing test waits so long, because a busy machine may take ten times as long as an
idle one. A test that wants to bound a duration measures it in another way."""
CALIBRATION_SECS = 0.05
"""Processor time of a computation that shows how busy the machine is."""
PROGRAM_SECS = 120.0
"""Seconds that a program may take."""


def slowdown() -> float:
    """Return how many times longer than its processor time a computation takes just now: 1 on an idle machine.

    A test that bounds a duration multiplies the bound by this if the duration exceeds it.
    """
    begin, used = time.monotonic(), time.thread_time()
    while time.thread_time() - used < CALIBRATION_SECS:
        pass
    return max(1.0, (time.monotonic() - begin) / CALIBRATION_SECS) * SLOWNESS


def wait_until(
    condition: Callable[[], object], *, timeout_secs: float = WAIT_SECS, what: str = "the condition"
) -> None:
    """Poll `condition` until it returns a true value.

    Raises
    ------
    TimeoutError
        After `timeout_secs`.
    """
    deadline = time.monotonic() + timeout_secs * SLOWNESS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_secs} s for {what}, which did not come")
        time.sleep(POLL_SECS)


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that has ended."""

    returncode: int
    """Exit code, or the negated number of the signal that ended it."""
    stdout: str
    stderr: str
    elapsed_secs: float

    def check(self) -> Finished:
        """Return self if the program ended with 0.

        Raises
        ------
        AssertionError
            Otherwise, with the program's output.
        """
        assert self.returncode == 0, f"the program ended with {self.returncode}\n{self.describe()}"
        return self

    def describe(self) -> str:
        """Return the program's output."""
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


class Program:
    """A running program: its process and its output so far.

    It leads a process group of its own, and `end` kills that group. Unless it is `fresh`, it may run in a process that
    the preloaded interpreter has forked, and so may its collectors unless they are `real_collectors`.
    """

    def __init__(
        self,
        code_or_path: str | Path,
        *args: str | Path,
        directory: Path,
        env: Mapping[str, str | None] | None = None,
        start_new_session: bool = False,
        fresh: bool = False,
        real_collectors: bool = False,
    ) -> None:
        if isinstance(code_or_path, Path):
            self.path = code_or_path
        else:
            # A file, not -c: spawned and forkserver children import the main module again.
            self.path = directory / "program.py"
            self.path.write_text(textwrap.dedent(code_or_path), encoding="utf-8")
        self.stdout_path = directory / "stdout"
        self.stderr_path = directory / "stderr"
        self._started = time.monotonic()
        with self.stdout_path.open("wb") as stdout, self.stderr_path.open("wb") as stderr:
            self.process = _start(
                [str(self.path), *map(str, args)],
                _environment(env),
                stdout,
                stderr,
                start_new_session=start_new_session,
                fresh=fresh,
                real_collectors=real_collectors,
            )

    @property
    def pid(self) -> int:
        """Id of its process and its process group."""
        return self.process.pid

    @property
    def stdout(self) -> str:
        """Its standard output so far."""
        return self.stdout_path.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Its standard error so far."""
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")

    def wait_for_output(self, text: str, *, timeout_secs: float = PROGRAM_SECS) -> None:
        """Wait until its standard output contains `text`.

        Raises
        ------
        AssertionError
            If it ends before, or `timeout_secs` pass.
        """
        deadline = time.monotonic() + timeout_secs * SLOWNESS
        while text not in self.stdout:
            ended = self.process.poll() is not None
            # It may have written the text between the look at its output and its end.
            if (ended and text not in self.stdout) or time.monotonic() > deadline:
                how = f"ended with {self.process.returncode}" if ended else f"ran for {timeout_secs} s"
                if not ended:
                    self.dump_stacks()
                    self.end()
                raise AssertionError(f"the program {how} without writing {text!r}\n{self._output()}")
            time.sleep(POLL_SECS)

    def wait(self, *, timeout_secs: float = PROGRAM_SECS) -> Finished:
        """Wait for its end.

        Raises
        ------
        AssertionError
            If it has not ended within `timeout_secs`, with the Python stacks of all processes of its group. The group
            is killed.
        """
        try:
            code = self.process.wait(timeout_secs * SLOWNESS)
        except subprocess.TimeoutExpired:
            self.dump_stacks()
            self.end()
            raise AssertionError(f"the program did not end within {timeout_secs} s\n{self._output()}") from None
        return Finished(code, self.stdout, self.stderr, time.monotonic() - self._started)

    def dump_stacks(self) -> None:
        """Make every process of the group write its stacks to standard error, which ends it."""
        self._signal(signal.SIGCONT)  # a stopped process writes nothing
        self._signal(signal.SIGABRT)
        deadline = time.monotonic() + STACKS_SECS * SLOWNESS
        # Wait for the whole group: a process that is killed earlier leaves no stack.
        while self._has_group() and time.monotonic() < deadline:
            time.sleep(POLL_SECS)

    def end(self) -> None:
        """Kill its process group and wait for its end. Harmless if it has ended."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _has_group(self) -> bool:
        self.process.poll()  # reaps the leader, which would stay a zombie
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass

    def _output(self) -> str:
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"


def run_program(
    code_or_path: str | Path,
    *args: str | Path,
    env: Mapping[str, str | None] | None = None,
    timeout_secs: float = PROGRAM_SECS,
) -> Finished:
    """Run a program to its end, for helpers that are no fixtures. See `Program`."""
    directory = Path(tempfile.mkdtemp(prefix="program-"))
    return Program(code_or_path, *args, directory=directory, env=env).wait(timeout_secs=timeout_secs)


def _start(
    arguments: list[str],
    environment: dict[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    *,
    start_new_session: bool,
    fresh: bool,
    real_collectors: bool,
) -> subprocess.Popen[bytes] | PreloadedProcess:
    if not fresh and may_preload(environment):
        return start_preloaded(
            arguments, environment, stdout, stderr, is_leader=start_new_session, real_collectors=real_collectors
        )
    return subprocess.Popen(
        [sys.executable, "-X", "faulthandler", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=environment,
        start_new_session=start_new_session,
        process_group=None if start_new_session else 0,
    )


def _environment(changes: Mapping[str, str | None] | None) -> dict[str, str]:
    """Return this process's environment with `changes`; None removes a variable."""
    env = dict(os.environ)
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [env.get("PYTHONPATH")])])
    for name, value in (changes or {}).items():
        if value is None:
            env.pop(name, None)
        else:
            env[name] = value
    return env
