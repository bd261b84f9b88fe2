"""A program that `uv run` starts: `uv` stays its parent, and pools and the collector start as usual."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.programs import PROGRAM_SECS
from tests.harness.recordings import rows_of, verify
from tests.harness.requirements import need_field

PROGRAM = """
import multiprocessing
import sys
import rerun_mp as rr

def work(number):
    rr.log(f"worker/{number}", rr.Scalars(float(number)))

if __name__ == "__main__":
    rr.init("rerun_mp_uv")
    rr.save(sys.argv[1])
    with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
        pool.map(work, range(4))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_started_by_uv_run_loses_no_row(method: str, tmp_path: Path, place: Path) -> None:
    source, path = tmp_path / "program.py", tmp_path / "rows.rrd"
    source.write_text(PROGRAM)
    uv = [need_field("uv"), "run", "--quiet", "--offline", "--no-project", "--python", sys.executable]
    done = subprocess.run(
        [*uv, source, path, method], capture_output=True, text=True, timeout=PROGRAM_SECS, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    verify(path)
    assert Counter(row.entity_path for row in rows_of(path)) == {f"worker/{number}": 1 for number in range(4)}
