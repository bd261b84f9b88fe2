"""P6: whatever is killed, every number that users see agrees with the calls that returned.

The numbers are those of each process, of the files, of the final report and of the rows that no viewer has. `make test`
tries a few random histories, and `make soak` some hundreds.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.conftest import RunPython

PROGRAMS = Path(__file__).with_name("programs")
ROWS = 20


def test_numbers_agree_after_random_kills(run_python: RunPython, tmp_path: Path) -> None:
    """The program prints the history that makes a difference, and its seed."""
    attempt(run_python, tmp_path, 6)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_numbers_agree_after_hundreds_of_random_kills(run_python: RunPython, tmp_path: Path) -> None:
    """As above, and disks are full at some moments."""
    attempt(run_python, tmp_path, 500, "full")


def test_a_recovery_counts_rows_once_that_are_in_the_spool_and_in_the_ring(
    run_python: RunPython, tmp_path: Path
) -> None:
    """The collector was killed when it had stored a sweep, and before the sweep was done."""
    done = run_python(PROGRAMS / "inspected_in_flight.py", tmp_path, str(ROWS)).check()
    assert done.stdout.split() == [str(ROWS), str(ROWS)]


def attempt(run_python: RunPython, tmp_path: Path, number: int, *options: str) -> None:
    """Try random histories."""
    first = random.randrange(1 << 31)
    done = run_python(
        PROGRAMS / "account_histories.py", tmp_path, str(first), str(number), *options, timeout=3000.0
    ).check()
    assert len(done.stdout.splitlines()) == number
