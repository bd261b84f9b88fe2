"""Change the ring's code in one place at a time, and see that its tests fail.

    python -m tests.mutants                every mutant, some 20 minutes of one core
    python -m tests.mutants --only ring    those of one module
    python -m tests.mutants --part 3/10    the third of ten parts of them, each about as long

The tests drive ring, producers and collector on a bytearray, and then their model; the quick ones run first. If a
mutant passes all of them, `explained.SURVIVORS` must name it, with the reason why the tests cannot see the change. The
command prints unexplained survivors and stale explanations, and exits with 1 if there are any. It works on a copy of
the package.
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
        "--deselect=tests/shm/test_ordering.py::test_a_pool_loses_no_row_by_any_way",
        "tests/collector/drain/test_sweep.py",
        "tests/collector/drain/test_freeing.py",
        "tests/producer/test_registration.py",
    ),
    ("tests/model/test_ring_model.py::test_every_history_delivers_each_returned_row_once",),
)
"""Quick tests first. None starts a session: its processes would outlive a mutant that never ends."""
TIMEOUT_SECS = 120.0
SHARED_MEMORY = Path("/dev/shm")


def main() -> int:
    """Run the mutants. Returns 1 if a survivor is unexplained or an explanation is stale."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", choices=MODULES)
    parser.add_argument("--part", default="1/1", metavar="N/PARTS", help="run every PARTS-th mutant, from the N-th on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    given = parser.parse_args()
    part, parts = (int(number) for number in given.part.split("/"))
    missing = stale = count = 0
    for module in [given.only] if given.only else MODULES:
        all_mutants = list(mutants_of((ROOT / "rerun_mp" / "shm" / f"{module}.py").read_text(encoding="utf-8")))
        mutants = all_mutants[part - 1 :: parts]
        # Two mutants may have one name, and lie in two parts.
        left_out = {mutant.name for at, mutant in enumerate(all_mutants) if at % parts != part - 1}
        count += len(mutants)
        with ThreadPoolExecutor(given.jobs) as pool:
            outcomes = list(pool.map(survives, repeat(module), mutants))
        survivors = {mutant.name for mutant, lives in zip(mutants, outcomes, strict=True) if lives}
        for name in sorted(survivors - set(SURVIVORS[module])):
            missing += 1
            print(f"{module}: survives unexplained: {name}", flush=True)
        for name in sorted(set(SURVIVORS[module]) - survivors - left_out):
            stale += 1
            print(f"{module}: explained, but does not survive: {name}", flush=True)
    print(f"{count} mutants; {missing} survive unexplained, {stale} explanations are stale")
    return 1 if missing or stale else 0


def survives(module: str, mutant: Mutant) -> bool:
    """Say whether a mutant passes all tests."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("rerun_mp", "tests", "pyproject.toml"):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(directory, name))
        Path(directory, "rerun_mp", "shm", f"{module}.py").write_text(mutant.source, encoding="utf-8")
        return all(passes(directory, tests) for tests in TESTS)


def passes(directory: str, tests: tuple[str, ...]) -> bool:
    """Run tests in a copy of the tree. True: they pass."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Temporary files lie in the directory, so that they go with it even if the tests are killed.
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
