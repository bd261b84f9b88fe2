"""Fixtures for every test: a directory of its own, a check for leftovers, programs, recordings and viewers."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
import multiprocessing.util
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.harness.cpu_account import CpuAccount
from tests.harness.isolation import interpreter, may_isolate
from tests.harness.leftovers import Leftovers, Machine
from tests.harness.programs import PROGRAM_SECS, ROOT, SLOWNESS, Finished, Program
from tests.harness.recordings import Row, rows_of, verify
from tests.harness.requirements import need
from tests.harness.scheduling import dealt, is_long
from tests.harness.viewers import HeadlessViewer, start_headless_viewer, vulkan_missing

LEFTOVER_SECS = 60.0 * SLOWNESS
"""Seconds that processes and files of a test may remain after it, even on a busy machine. The tests of orphans check
that a session ends within 5 s."""

DIRECTORIES = {"runtime": "XDG_RUNTIME_DIR", "cache": "XDG_CACHE_HOME", "data": "XDG_DATA_HOME", "tmp": "TMPDIR"}

# Hypothesis may not time single examples: on a loaded machine they take longer. Runs draw the same examples each time,
# so that a failure belongs to the change under test; `make soak` draws many more, at random.
hypothesis.settings.register_profile("rerun_mp", deadline=None, derandomize=True)
hypothesis.settings.register_profile("soak", deadline=None, max_examples=1000, print_blob=True)
hypothesis.settings.load_profile("rerun_mp")

# Programs start in half the time from compiled modules.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the account of processor time."""
    parser.addoption("--cpu", type=int, default=0, metavar="N", help="print the N tests that cost most processor time")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the account of processor time, if asked to."""
    if shown := config.getoption("--cpu"):
        config.pluginmanager.register(CpuAccount(shown), "cpu_account")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: list[Any]) -> None:
    """Give each worker of `pytest -n` namespaces of its own, where the user may create them."""
    for spec in specs:
        if spec.popen and not spec.python and may_isolate():
            spec.python = interpreter()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker of `pytest -n` begin with long tests."""
    if workers := getattr(config, "workerinput", {}).get("workercount"):
        items[:] = dealt(items, workers, lambda item: is_long(item.nodeid))


@pytest.fixture(scope="session", autouse=True)
def _temporary_directories(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let pytest and multiprocessing choose their directories before tests change where temporary files lie."""
    tmp_path_factory.getbasetemp()
    multiprocessing.util.get_temp_dir()


@pytest.fixture(scope="session", autouse=True)
def _interruptible_programs() -> None:
    """Let Ctrl-C interrupt the tests and their programs: a shell makes its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _random_numbers_by_name(request: pytest.FixtureRequest) -> None:
    """Draw the same random numbers in each run of a test. A long test draws new ones."""
    if request.node.get_closest_marker("soak") is None:
        random.seed(request.node.nodeid)


@pytest.fixture(autouse=True)
def place(_temporary_directories: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the test a directory of its own and clean settings, and fail it if it leaves anything behind.

    The directory is the working directory, too, so that no program writes a file into the checkout. Its path is short,
    because socket paths under it must stay below 108 bytes.
    """
    own = Path(tempfile.mkdtemp(prefix="rmp-test-", dir="/tmp"))
    monkeypatch.chdir(own)
    monkeypatch.setenv("PWD", str(own))
    for name, variable in DIRECTORIES.items():
        (own / name).mkdir(mode=0o700)
        monkeypatch.setenv(variable, str(own / name))
    monkeypatch.setattr(tempfile, "tempdir", str(own / "tmp"))
    for name in list(os.environ):
        # RERUN_MP_REQUIRE_... addresses the tests, not the programs.
        if name.startswith("RERUN") and not name.startswith("RERUN_MP_REQUIRE_"):
            monkeypatch.delenv(name)
    machine = Machine.snapshot(own)
    try:
        yield own
        # A forkserver keeps the environment of the test that first needed it, so each test has its own.
        getattr(multiprocessing.forkserver, "_forkserver")._stop()  # noqa: B009 (typeshed does not know it)
        multiprocessing.active_children()  # reaps ended children that no test joined
        left = _wait_for_nothing(machine)
        if left:
            description = str(left)
            left.remove()
            pytest.fail(f"left behind {LEFTOVER_SECS:g} s after the test:\n{description}", pytrace=False)
    finally:
        shutil.rmtree(own, ignore_errors=True)


def _wait_for_nothing(machine: Machine) -> Leftovers:
    """Wait up to `LEFTOVER_SECS` until nothing is left, and return what is left then.

    Shared memory that only the last look saw does not count: another run may be founding a session just then.
    """
    deadline = time.monotonic() + LEFTOVER_SECS
    pause_secs = 0.01
    before = Leftovers()
    while (left := machine.leftovers()) and time.monotonic() < deadline:
        before = left
        time.sleep(pause_secs)
        pause_secs = min(2 * pause_secs, 0.2)
    return replace(left, segments=[path for path in left.segments if path in before.segments])


class StartPython:
    """Starts user programs, and kills them at the end of the test if they still run."""

    def __init__(self, tmp_path: Path, *, real_collectors: bool = False) -> None:
        self._tmp_path = tmp_path
        self._real_collectors = real_collectors
        self._programs: list[Program] = []

    def __call__(
        self,
        code_or_path: str | Path,
        *args: str | Path,
        env: Mapping[str, str | None] | None = None,
        start_new_session: bool = False,
        fresh: bool = False,
    ) -> Program:
        """Start the program `code_or_path` (a path, or source) with the interpreter of the tests.

        `env` changes the environment; None removes a variable. `fresh` gives the program an interpreter of its own,
        which has imported nothing: for tests of start-up and of imports.
        """
        directory = self._tmp_path / f"program-{len(self._programs)}"
        directory.mkdir()
        program = Program(
            code_or_path,
            *args,
            directory=directory,
            env=env,
            start_new_session=start_new_session,
            fresh=fresh,
            real_collectors=self._real_collectors,
        )
        self._programs.append(program)
        return program

    def end(self) -> None:
        """Kill the process groups of the programs that still run."""
        for program in self._programs:
            if program.process.poll() is None:
                program.end()


@pytest.fixture
def start_python(request: pytest.FixtureRequest, tmp_path: Path, place: Path) -> Iterator[StartPython]:
    """Start a user program and go on, as `start_python(code_or_path, *args, env=..., start_new_session=...)`."""
    starter = StartPython(tmp_path, real_collectors=request.node.get_closest_marker("real_collectors") is not None)
    try:
        yield starter
    finally:
        starter.end()


RunPython = Callable[..., Finished]


@pytest.fixture
def run_python(start_python: StartPython) -> RunPython:
    """Run a user program to its end, as `run_python(code_or_path, *args, timeout=...)` with `start_python`'s options.

    A program that takes longer than `timeout` seconds fails the test with the stacks of all of its processes.
    """

    def run(
        code_or_path: str | Path,
        *args: str | Path,
        timeout: float = PROGRAM_SECS,
        env: Mapping[str, str | None] | None = None,
        start_new_session: bool = False,
        fresh: bool = False,
    ) -> Finished:
        program = start_python(code_or_path, *args, env=env, start_new_session=start_new_session, fresh=fresh)
        return program.wait(timeout_secs=timeout)

    return run


@pytest.fixture
def loaded_machine() -> Iterator[None]:
    """Keep every core busy while the test runs."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.fixture(name="rows_of")
def rows_of_fixture() -> Callable[..., list[Row]]:
    """Read a recording back, as `rows_of(path, properties=..., recording_id=...)`."""
    return rows_of


@pytest.fixture(name="verify")
def verify_fixture() -> Callable[..., None]:
    """Let rerun check that a file is complete, as `verify(path)`."""
    return verify


@pytest.fixture
def artifacts() -> Path:
    """Return the directory for files that people may want to see, such as screenshots. Git ignores it."""
    path = ROOT / "artifacts"
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def headless_viewer(tmp_path: Path, place: Path) -> Iterator[HeadlessViewer]:
    """Run a real Viewer without a window. Without Vulkan, skip the test; fail it if RERUN_MP_REQUIRE_VIEWER is set."""
    need(vulkan_missing(), "RERUN_MP_REQUIRE_VIEWER")
    viewer = start_headless_viewer(tmp_path)
    try:
        yield viewer
    finally:
        viewer.end()
