"""A subinterpreter logs as a thread of the program does, and its end costs the program nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, verify

pytestmark = pytest.mark.real_collectors

ROWS = 50
PROGRAM = Path(__file__).parent / "programs/subinterpreter.py"


@pytest.mark.parametrize("founder", ["outer", "inner"])
def test_rows_of_a_subinterpreter_are_in_the_file(founder: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAM, path, founder, fresh=True).check()
    assert count_rows(path) == {"inner": ROWS, **({"outer": 2} if founder == "outer" else {})}
    verify(path)
    assert done.stderr == ""
