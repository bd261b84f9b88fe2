"""A sandbox that refuses a call makes `init` say which call, and leaves nothing behind; or rerun_mp does without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import Row

ROWS = 10
PROGRAM = Path(__file__).parent / "programs" / "sandboxed.py"


@pytest.mark.parametrize(("advice", "name"), [(18, "MADV_WIPEONFORK"), (10, "MADV_DONTFORK")])
def test_a_refused_advice_is_an_error_of_init_that_names_it(
    advice: int, name: str, run_python: RunPython, tmp_path: Path
) -> None:
    done = run_python(PROGRAM, tmp_path / "run.rrd", "madvise", str(advice), fresh=True).check()
    assert f"refuses madvise({name}): Invalid argument" in done.stdout


@pytest.mark.parametrize("order", [None, "barriers"])
def test_nothing_is_lost_without_membarrier(
    order: str | None, run_python: RunPython, tmp_path: Path, rows_of: Callable[..., list[Row]]
) -> None:
    path = tmp_path / "run.rrd"
    done = run_python(PROGRAM, path, "membarrier", "", env={"RERUN_MP_MEMORY_ORDER": order}, fresh=True).check()
    assert done.stderr == ""
    assert len(rows_of(path)) == ROWS
