"""P6: a disk fills up under the file, the spool or both: drops are counted, nothing hangs, and logging recovers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import RERUN_BINARY, Row, rows_of, verify
from tests.harness.small_disks import may_unshare, on_small_disks

pytestmark = pytest.mark.real_collectors

needs_namespace = pytest.mark.skipif(not may_unshare(), reason="unshare -rm is forbidden to this user here")

PROGRAM = Path(__file__).with_name("programs") / "filling_disks.py"


def kept(rows: list[Row]) -> Counter[str]:
    """Count the program's rows by phase."""
    return Counter(row.entity_path.partition("/")[0] for row in rows if not row.entity_path.startswith("__rerun_mp"))


def distinct(rows: list[Row]) -> list[Row]:
    """Check that no row id occurs twice, and return the rows."""
    assert len({row.row_id for row in rows}) == len(rows)
    return rows


@needs_namespace
def test_a_disk_full_under_one_file_costs_no_row_and_does_not_stop_the_other_file(
    run_python: RunPython, tmp_path: Path
) -> None:
    """Rows logged while the disk is full wait in the spool. They go into the file when there is space again."""
    disk, out, other = (tmp_path / name for name in ("disk", "copy.rrd", "other.rrd"))
    disk.mkdir()
    arguments = ("full_under_the_file", disk, other)
    command = on_small_disks({disk: "48m"}, PROGRAM, *arguments, copies={disk / "out.rrd": out})
    done = run_python(*command).check()
    assert list(map(json.loads, done.stdout.splitlines())) == [[120, 120, 0, 0], [160, 160, 0, 0]]
    assert done.stderr == ""
    for path in (out, other):
        verify(path)
    assert kept(distinct(rows_of(out))) == {"before": 40, "full": 40, "after": 40}
    assert kept(distinct(rows_of(other))) == {"other": 40}


@needs_namespace
def test_a_disk_that_stays_full_leaves_the_rows_in_the_spool_and_says_where(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """The file keeps its rows. The program's last line names the spool directory, which stays."""
    disk, out, joined = (tmp_path / name for name in ("disk", "copy.rrd", "joined.rrd"))
    disk.mkdir()
    command = on_small_disks({disk: "48m"}, PROGRAM, "full_until_the_end", disk, copies={disk / "out.rrd": out})
    done = run_python(*command).check()
    (spool,) = (place / "cache" / "rerun_mp").iterdir()
    reason = f"too little space is left to complete {disk / 'out.rrd'}"
    assert f"1 file could not be completed: {reason}. The missing rows are in {spool}." in done.stderr
    parts = [out, *spool.glob("*/*.rrd")]
    subprocess.run([RERUN_BINARY, "rrd", "merge", "-o", joined, *parts], check=True, capture_output=True)
    assert kept(distinct(rows_of(joined))) == {"before": 40, "full": 40}
    shutil.rmtree(spool.parent)


@needs_namespace
def test_another_file_that_is_set_while_the_disk_is_full_waits_for_room_and_stops_nothing(
    run_python: RunPython, tmp_path: Path
) -> None:
    """The former file cannot be completed yet. Until it is, it gets the rows, and all are stored."""
    disk, out, later = (tmp_path / name for name in ("disk", "copy.rrd", "later.rrd"))
    disk.mkdir()
    arguments = ("another_file_while_full", disk, later)
    command = on_small_disks({disk: "48m"}, PROGRAM, *arguments, copies={disk / "out.rrd": out})
    done = run_python(*command).check()
    assert json.loads(done.stdout) == [120, 120, 0, 0]
    assert done.stderr == ""
    for path in (out, later):
        verify(path)
    assert kept(distinct(rows_of(out))) == {"before": 40, "full": 40, "waiting": 40}
    assert kept(distinct(rows_of(later))) == {"after": 40}


def test_the_spool_s_quota_drops_the_oldest_rows_and_counts_them(run_python: RunPython, tmp_path: Path) -> None:
    """The program sets its file late. The file has the other rows. It and the last line count the dropped ones."""
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAM, "spooled", "none", path, "8", env={"RERUN_MP_SPOOL_BYTES": str(8 << 20)}).check()
    (first, last) = json.loads(done.stdout)
    logged, delivered, dropped, failed = first
    assert (logged, failed) == (1600, 0)
    assert 0 < dropped < logged
    assert last == [1640, delivered + 40, dropped, 0]
    verify(path)
    rows = distinct(rows_of(path))
    counts = kept(rows)
    assert counts.total() == delivered + 40
    assert (counts["phase_7"], counts["last"], counts["phase_0"]) == (200, 40, 0)
    assert f"{dropped} rows were dropped: {dropped} because the spool was full" in done.stderr
    texts = [row.components["TextLog:text"].as_py()[0] for row in rows if row.entity_path == "__rerun_mp/dropped"]
    assert f"{dropped} of " in texts[-1]


@needs_namespace
def test_rows_are_dropped_and_counted_while_the_spool_s_disk_is_full(run_python: RunPython, tmp_path: Path) -> None:
    """Rows that cannot be written are dropped, and calls go on. Rows are kept once there is space."""
    disk, path = tmp_path / "disk", tmp_path / "out.rrd"
    disk.mkdir()
    command = on_small_disks({disk: "16m"}, PROGRAM, "spooled", disk, path, "2")
    done = run_python(*command, env={"XDG_CACHE_HOME": str(disk)}).check()
    (logged, delivered, spool, write), last = json.loads(done.stdout)
    assert logged == 400 == delivered + spool + write
    assert write > 0
    assert last == [440, delivered + 40, spool, write]
    verify(path)
    counts = kept(distinct(rows_of(path)))
    assert (counts.total(), counts["last"]) == (delivered + 40, 40)
    assert f"{spool + write} rows were dropped: " in done.stderr
    assert f"{write} because neither file nor spool could be written" in done.stderr


@pytest.mark.soak
@needs_namespace
def test_a_disk_smaller_than_the_quota_drops_the_oldest_rows_and_counts_them(
    run_python: RunPython, tmp_path: Path
) -> None:
    """The spool fills its disk before it reaches its quota."""
    disk, path = tmp_path / "disk", tmp_path / "out.rrd"
    disk.mkdir()
    command = on_small_disks({disk: "24m"}, PROGRAM, "small_spool_disk", path)
    done = run_python(*command, env={"XDG_CACHE_HOME": str(disk)}).check()
    logged, delivered, spool, write = json.loads(done.stdout)
    assert logged == 2000 == delivered + spool + write
    assert 0 < delivered < logged
    verify(path)
    counts = kept(distinct(rows_of(path)))
    assert counts.total() == delivered
    assert counts["phase_9"] == 200


@needs_namespace
def test_rows_are_dropped_and_counted_while_the_disk_of_file_and_spool_is_full(
    run_python: RunPython, tmp_path: Path
) -> None:
    disk, out = tmp_path / "disk", tmp_path / "copy.rrd"
    disk.mkdir()
    command = on_small_disks({disk: "48m"}, PROGRAM, "both_full", disk, copies={disk / "out.rrd": out})
    done = run_python(*command, env={"XDG_CACHE_HOME": str(disk)}).check()
    (logged, delivered, spool, write), last = map(json.loads, done.stdout.splitlines())
    assert logged == 80 == delivered + spool + write
    assert write > 0
    assert last == [120, delivered + 40, spool, write]
    verify(out)
    counts = kept(distinct(rows_of(out)))
    assert (counts["before"], counts["after"], counts.total()) == (40, 40, delivered + 40)
    assert f"{write} because neither file nor spool could be written" in done.stderr


LARGE = """
import os, sys, warnings
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_large")
rr.save(sys.argv[1])
warnings.simplefilter("error")
large = np.zeros((1500, 1500, 3), np.uint8)
for number in range(3):
    try:
        rr.log("large", rr.Image(large))
    except (rr.RingFullError, Warning) as error:
        print(error)
rr.log("small", rr.Scalars(1.0))
rr.flush()
(account,) = rr.statistics().producers
print(account.logged, account.delivered, account.dropped_by_policy, account.refused)
"""


@needs_namespace
@pytest.mark.parametrize("policy", ["block", pytest.param("raise", marks=pytest.mark.soak), "drop"])
def test_a_row_too_large_for_ring_and_spool_is_refused_or_dropped(
    policy: str, run_python: RunPython, tmp_path: Path
) -> None:
    """The error names its size and the cause. Later rows are logged, and no half-written file stays."""
    disk, path, program = (tmp_path / name for name in ("disk", "out.rrd", "large.py"))
    disk.mkdir()
    program.write_text(LARGE)
    environment = {"XDG_CACHE_HOME": str(disk), "RERUN_MP_RING_BYTES": str(1 << 20), "RERUN_MP_POLICY": policy}
    done = run_python(*on_small_disks({disk: "4m"}, program, path), env=environment).check()
    *messages, figures = done.stdout.splitlines()
    if policy == "drop":
        assert (messages, figures) == ([], "4 1 3 0")
    else:
        assert figures == "1 1 0 3"
        assert len(messages) == (3 if policy == "raise" else 1)
        assert all("a row of 67" in message and "No space left on device" in message for message in messages)
    assert kept(rows_of(path)) == {"small": 1}
