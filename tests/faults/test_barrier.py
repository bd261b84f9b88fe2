"""Replacing sinks is a barrier: what was logged before goes to the old ones, however soon it comes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import rows_of, verify

PROGRAM = """
import multiprocessing, os, sys
import rerun_mp as rr

def work(number):
    for step in range(10):
        rr.log(f"worker/{number}", rr.Scalars(float(step)))

if __name__ == "__main__":
    method, first, second = sys.argv[1:]
    rr.init("rerun_mp_barrier")
    rr.save(first)
    process = multiprocessing.get_context(method).Process(target=work, args=(1,))
    process.start()
    process.join()
    rr.log("parent", rr.Scalars(1.0))
    if second:
        rr.save(second)
    else:
        rr.disconnect()
    # Complete from here on, while the program goes on.
    os.rename(first, first + ".seen")
    rr.log("parent", rr.Scalars(2.0))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_disconnected_file_holds_what_a_worker_had_logged(method: str, run_python: RunPython, tmp_path: Path) -> None:
    """A worker's rows are in the file though it was disconnected before the collector had even started."""
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
