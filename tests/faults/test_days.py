"""A program that runs for days: what the collector holds does not grow with the workers that came and went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunPython

PROGRAM = Path(__file__).with_name("programs") / "short_lived.py"
MIB = 1 << 20


@pytest.mark.parametrize(
    ("first", "last"), [(40, 120), pytest.param(500, 2000, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
def test_workers_that_are_gone_leave_nothing_in_memory(
    first: int, last: int, run_python: RunPython, tmp_path: Path
) -> None:
    """The memory after the first workers is the measure. A later worker may add at most 6 kB, for its chunk's entry.

    The file's part holds 235 bytes for each chunk until it ends. The accounts become a sum at 1 MiB.
    """
    done = run_python(PROGRAM, tmp_path / "out.rrd", str(first), str(last), timeout=500.0).check()
    before, after = map(json.loads, done.stdout.splitlines())
    print(before, after)
    assert after["memory"] - before["memory"] < 4 * MIB + 6000 * (last - first)
    assert after["files"] < 2 * MIB
