"""Every hazard has a guard, every guard a test, and no test passes without its guard."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.harness.isolation import interpreter, may_isolate
from tests.harness.programs import ROOT
from tests.hazards.registry import TITLES, Edit, Removal, copy_tree
from tests.hazards.removals import REMOVALS

TEST_SECS = 150
"""A test that hangs without its guard has failed after so many seconds. A program of a test that hangs ends before."""
HUNG = -signal.SIGKILL


def test_each_hazard_has_an_entry_and_no_two_entries_have_one_name() -> None:
    """Each hazard has an entry, and no two entries have one name."""
    assert {removal.hazard for removal in REMOVALS} == set(TITLES) == set(range(1, 31))
    assert len({removal.name for removal in REMOVALS}) == len(REMOVALS)


def test_every_guard_stands_in_the_product() -> None:
    """The text that an entry takes out is there, once, and what replaces it is Python."""
    for removal in REMOVALS:
        assert removal.places(), removal.name
        for edit in removal.edits:
            source = (ROOT / "rerun_mp" / edit.file).read_text()
            assert source.count(edit.old) == 1, f"{removal.name}: {edit.file} has {source.count(edit.old)} of this text"
            compile(source.replace(edit.old, edit.new), edit.file, "exec")


def test_every_named_test_exists() -> None:
    """Pytest finds each test that the table names, by its id."""
    named = sorted({test for removal in REMOVALS for test in removal.tests})
    done = run_pytest(ROOT, 240.0, "--collect-only", "-q", *named)
    assert done.returncode == 0, done.stdout


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_named_tests_pass_in_a_copy_of_the_tree(tmp_path: Path) -> None:
    """So that what fails below fails for want of a guard, and not because it runs in a copy."""
    done = run_tests(copy_tree(tmp_path), *sorted({test for removal in REMOVALS for test in removal.tests}), secs=800.0)
    assert done.returncode == 0, done.stdout


@pytest.mark.soak
@pytest.mark.timeout(3 * TEST_SECS)
@pytest.mark.parametrize(
    ("removal", "test"), [pytest.param(r, test, id=f"{r.hazard}-{r.name}") for r in REMOVALS for test in r.tests]
)
def test_no_test_passes_without_its_guard(removal: Removal, test: str, tmp_path: Path) -> None:
    """With the guard taken out of a copy of the tree the test fails there, and says what the table says."""
    root = copy_tree(tmp_path)
    for edit in removal.edits:
        edit.apply(root)
    done = run_tests(root, test, secs=1.5 * TEST_SECS)
    assert done.returncode in (pytest.ExitCode.TESTS_FAILED, HUNG), f"{test} did not fail\n{done.stdout}"
    assert removal.fails in done.stdout


def test_a_guard_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    """An entry whose text has gone from the product does not pass for one that has been tried."""
    root = copy_tree(tmp_path)
    with pytest.raises(AssertionError, match="0 times"):
        Edit("shm/leases.py", "this text is nowhere", "pass").apply(root)


def run_tests(root: Path, *tests: str, secs: float) -> subprocess.CompletedProcess[str]:
    """Run tests in the tree at `root`, each with a limit of its own, all together for `secs` at most."""
    return run_pytest(root, secs, f"--timeout={TEST_SECS}", "-o", "faulthandler_timeout=0", *tests)


def run_pytest(root: Path, secs: float, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in the tree at `root` with the modules of that tree, long tests included, for `secs` at most.

    Without a guard even the end of the process may hang: then it is killed, and its return code says so. Where the user
    may create namespaces, the processes that its tests have started end with it.
    """
    python = shlex.split(interpreter()) if may_isolate() else [sys.executable]
    command = [*python, "-m", "pytest", "-p", "no:cacheprovider", "-m", "", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    # A file: what outlives the process may hold a pipe open.
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
        try:
            returncode = process.wait(secs)
        except subprocess.TimeoutExpired:
            returncode = HUNG
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return subprocess.CompletedProcess(command, returncode, output.read())
