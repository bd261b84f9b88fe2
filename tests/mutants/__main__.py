"""Change the ring's code in one place at a time, and see that its tests fail.

    python -m tests.mutants                every mutant, some 15 minutes a core
    python -m tests.mutants --only ring    those of one module

The tests are those that drive ring, producers and collector on a bytearray, and the model of them, first the quickest.
A mutant that they all pass must be named in `explained.SURVIVORS`, with the reason why it changes nothing that they
could see; prints the others, and what is explained there but does not survive any more, and ends with 1 if there are
any. Works on a copy of the package.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

from tests.harness.programs import ROOT
from tests.mutants.explained import SURVIVORS
from tests.mutants.mutations import Mutant, mutants_of

MODULES = ("layout", "ring", "writer")
TESTS = (
    (
        "tests/shm",
        "tests/collector/drain/test_sweep.py",
        "tests/collector/drain/test_freeing.py",
        "tests/producer/test_registration.py",
    ),
    ("tests/model", "--hypothesis-seed=0"),
)
TIMEOUT_SECS = 120.0
SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Run the mutants. Returns 1 if a test is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", choices=MODULES)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    missing = stale = count = 0
    for module in [given.only] if given.only else MODULES:
        mutants = list(mutants_of((ROOT / "rerun_mp" / "shm" / f"{module}.py").read_text(encoding="utf-8")))
        count += len(mutants)
        with ThreadPoolExecutor(given.jobs) as pool:
            outcomes = list(pool.map(survives, repeat(module), mutants))
        survivors = {mutant.name for mutant, lives in zip(mutants, outcomes, strict=True) if lives}
        for name in sorted(survivors - set(SURVIVORS[module])):
            missing += 1
            print(f"{module}: survives unexplained: {name}", flush=True)
        for name in sorted(set(SURVIVORS[module]) - survivors):
            stale += 1
            print(f"{module}: explained, but does not survive: {name}", flush=True)
    print(f"{count} mutants; {missing} survive unexplained, {stale} explanations are stale")
    return 1 if missing or stale else 0


def survives(module: str, mutant: Mutant) -> bool:
    """Say whether all tests pass with a mutant."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("rerun_mp", "tests", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(directory, name))
        Path(directory, "rerun_mp", "shm", f"{module}.py").write_text(mutant.source, encoding="utf-8")
        return all(passes(directory, tests) for tests in TESTS)


def passes(directory: str, tests: tuple[str, ...]) -> bool:
    """Run tests in a copy."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Files of its own go with the directory, also if it is killed.
    environment = os.environ | {"PYTHONPATH": directory, "TMPDIR": directory}
    with subprocess.Popen(
        command, cwd=directory, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as tests_running:
        try:
            return tests_running.wait(TIMEOUT_SECS) == 0
        except subprocess.TimeoutExpired:
            tests_running.kill()
            tests_running.wait()
            return False
        finally:
            for left in SHARED_MEMORY.glob(f"rmp-*-{tests_running.pid}-*"):
                left.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
