"""P2 and P3: all rows of a worker arrive, for each start method and end, with and without `init` and the decorator.

One program per start method and ending runs four groups of workers; each cell of the table is a test of its own.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.faults.programs.matrix import MAX_WORKERS, ROWS
from tests.harness.recordings import rows_of, verify

PROGRAM = Path(__file__).with_name("programs") / "matrix.py"
METHODS = ("fork", "forkserver", "spawn")
ENDINGS = (
    "return",
    "exception",
    "os._exit",
    "SIGTERM",
    "SIGKILL",
    "segfault",
    "pool left by with",
    "pool closed and joined",
    "executor",
)
WORKERS = {"fork": MAX_WORKERS, "forkserver": 1, "spawn": 1}
"""Workers of each group, by start method. All groups run at once. Those that are not forked load rerun_mp anew."""
GROUPS = ("plain", "initialised", "decorated", "both")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", METHODS)
def test_every_returned_row_is_in_the_file_when_the_program_has_ended(
    method: str, ending: str, run_python: RunPython, tmp_path: Path
) -> None:
    """The workers of each group log a thousand rows each. The parent's complete file has each row once."""
    check_ending(method, ending, run_python, tmp_path / "out.rrd", workers=WORKERS[method])


@pytest.mark.parametrize("method", METHODS)
def test_killed_workers_lose_no_row_where_processes_run_fences(
    method: str, run_python: RunPython, tmp_path: Path
) -> None:
    """A weakly ordered machine may have a kernel that refuses membarrier(2). There rows go into frames, behind fences.

    One worker a group, because each loads rerun, which takes a second of processor time.
    """
    check_ending(method, "SIGKILL", run_python, tmp_path / "out.rrd", order="fences", workers=1)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(10))
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("method", METHODS)
def test_every_returned_row_is_in_the_file_on_a_loaded_machine(
    method: str, ending: str, turn: int, run_python: RunPython, tmp_path: Path, loaded_machine: None
) -> None:
    """The same holds with every core busy."""
    check_ending(method, ending, run_python, tmp_path / f"out-{turn}.rrd")


def check_ending(
    method: str,
    ending: str,
    run_python: RunPython,
    path: Path,
    *,
    order: str | None = None,
    workers: int = MAX_WORKERS,
) -> None:
    """Run the program once and count its rows. `order` replaces the machine's way of ordering stores."""
    environment = {"PYTHONFAULTHANDLER": None, "RERUN_MP_MEMORY_ORDER": order}
    run_python(PROGRAM, method, ending, path, str(workers), env=environment, timeout=120.0).check()
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows), "a row is there twice"
    counts = Counter(row.entity_path for row in rows)
    expected = {f"{group}/{worker}": ROWS for group in GROUPS for worker in range(workers)}
    assert counts == expected
    steps = Counter((row.entity_path, row.times["step"]) for row in rows)
    assert set(steps.values()) == {1}
    assert all(row.components["Scalars:scalars"].as_py() == [float(row.times["step"])] for row in rows)


def test_rows_arrive_from_functions_that_run_at_the_exit(run_python: RunPython, tmp_path: Path) -> None:
    """The program and a forked child run them. As with rerun, they count if they are registered after the import."""
    code = """
import atexit, os, sys
import rerun_mp as rr
name = "parent"
atexit.register(lambda: [rr.log(name, rr.Scalars(float(step))) for step in range(10)])
rr.init("rerun_mp_exit")
rr.save(sys.argv[1])
rr.log(name, rr.Scalars(-1.0))
if os.fork() == 0:
    name = "child"
    sys.exit()
os.wait()
"""
    assert run_python(code, tmp_path / "out.rrd").check().stderr == ""
    assert Counter(row.entity_path for row in rows_of(tmp_path / "out.rrd")) == {"parent": 11, "child": 10}
