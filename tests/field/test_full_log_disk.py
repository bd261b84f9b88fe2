"""The disk of the collector's log and notes is full: a worker starts all the same, also one that has a row to blame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import RunPython
from tests.harness.recordings import Row
from tests.harness.requirements import need
from tests.harness.small_disks import may_unshare, on_small_disks

PROGRAM = Path(__file__).parent / "programs" / "filling_the_log_disk.py"


def test_a_worker_starts_on_a_full_disk(
    run_python: RunPython, tmp_path: Path, place: Path, rows_of: Callable[..., list[Row]]
) -> None:
    need(None if may_unshare() else "the right to make a mount namespace", "RERUN_MP_REQUIRE_FIELD")
    path = tmp_path / "run.rrd"
    run_python(*on_small_disks({place / "runtime": "256k"}, PROGRAM, path), fresh=True).check()
    assert sorted(row.entity_path for row in rows_of(path)) == ["after", "before"]
