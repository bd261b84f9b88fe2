"""Replacing sinks is a barrier: rows logged before it go to the old sinks, however soon it follows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAM = Path(__file__).with_name("programs") / "barrier.py"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_disconnected_file_has_the_rows_of_a_worker(method: str, run_python: RunPython, tmp_path: Path) -> None:
    """The worker's rows are in the file even if the program disconnects before the collector has started."""
    path = tmp_path / "first.rrd"
    run_python(PROGRAM, method, path, "").check()
    seen = Path(f"{path}.seen")
    verify(seen)
    assert Counter(row.entity_path for row in rows_of(seen)) == {"worker/1": 10, "parent": 1}


def test_a_replaced_file_ends_where_the_next_one_begins(run_python: RunPython, tmp_path: Path) -> None:
    """Rows before the second `save` are in the first file, rows after it in the second."""
    first, second = tmp_path / "first.rrd", tmp_path / "second.rrd"
    run_python(PROGRAM, "fork", first, second).check()
    seen = Path(f"{first}.seen")
    verify(seen)
    verify(second)
    assert Counter(row.entity_path for row in rows_of(seen)) == {"worker/1": 10, "parent": 1}
    assert Counter(row.entity_path for row in rows_of(second)) == {"parent": 1}
