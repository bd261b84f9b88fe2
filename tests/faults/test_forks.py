"""P3: a fork at any instant, from any thread, causes no deadlock, and loses and repeats no row."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import wait_until
from tests.harness.recordings import Row, count_rows, rows_of, verify

PROGRAMS = Path(__file__).with_name("programs")


@pytest.mark.parametrize("forks", [40, pytest.param(400, marks=pytest.mark.soak)])
def test_a_fork_while_eight_threads_log_costs_no_row(forks: int, run_python: RunPython, tmp_path: Path) -> None:
    """The parent forks so many times while its eight threads log. Every returned row is stored once."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "threads_and_forks.py", path, str(forks), timeout=120.0).check()
    verify(path)
    expected = {f"child/{number}": 5 for number in range(forks)}
    for line in done.stdout.splitlines():
        _, number, count = line.split()
        expected[f"thread/{number}"] = int(count)
    assert count_rows(path) == expected


def test_a_signal_handler_that_forks_in_a_call_costs_no_row(run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 21: a fork between payload and commit costs the parent no row. Both processes go on logging."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "forking_in_a_handler.py", path, timeout=120.0).check()
    returned, children = map(int, done.stdout.split())
    verify(path)
    rows = rows_of(path)
    assert len({row.row_id for row in rows}) == len(rows)
    counts = Counter(row.entity_path for row in rows)
    assert sum(1 for path in counts if path.startswith("child/")) == children
    assert all(count == 3 for path, count in counts.items() if path.startswith("child/"))
    # The interrupted call returns in the child too, and may log its row there.
    assert returned <= counts["parent"] <= returned + children


@pytest.mark.parametrize("kind", ["tables", "frames"])
def test_a_signal_handler_that_logs_in_a_call_costs_no_row(kind: str, run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 22: a handler that logs while its own thread holds the producer's mutex neither hangs nor loses a row."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAMS / "logging_in_a_handler.py", path, kind).check()
    outer, inner = map(int, done.stdout.split())
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts == {"warm": 1, "outer": outer, "handler": inner}


@pytest.mark.parametrize("where", ["founder", "child"])
def test_daemon_threads_and_finalisers_do_not_hang_the_end(where: str, run_python: RunPython, tmp_path: Path) -> None:
    """Hazard 22: daemon threads log until finalisation freezes them, and a `__del__` logs. The program still ends.

    The founder has left the session by then. A forked child has not, so its `__del__` logs.
    """
    path = tmp_path / "out.rrd"
    run_python(PROGRAMS / "logging_at_the_end.py", path, where).check()
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts["main"] == 1
    assert counts["daemon"] > 0
    assert counts["late"] == (1 if where == "child" else 0)


def test_a_daemonised_worker_logs_on(run_python: RunPython, tmp_path: Path) -> None:
    """Hazards 1 and 2: it forks twice and closes all descriptors. Its rows arrive, and its own file stays intact."""
    path, own = tmp_path / "out.rrd", tmp_path / "own"
    run_python(PROGRAMS / "daemonised.py", path, own).check()
    counts = Counter(row.entity_path for row in _rows_when_complete(path))
    # The first row was logged by the intermediate process.
    assert counts == {"parent": 200, "daemon": 1 + 2000 + 1}
    assert own.read_bytes() == b"the user's own bytes"


def _rows_when_complete(path: Path) -> list[Row]:
    def is_complete() -> bool:
        try:
            verify(path)
        except AssertionError:
            return False
        return True

    wait_until(is_complete, what="the complete file")
    return rows_of(path)
