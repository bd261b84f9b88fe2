"""P6: disks that fill up under the file, under the spool or under both: counted drops, no hang, and it recovers."""

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

needs_namespace = pytest.mark.skipif(not may_unshare(), reason="unshare -rm is forbidden to this user here")

FILLING = """
import json, os, sys
import numpy as np
import rerun_mp as rr
from rerun_mp.session.waiting import wait_until

def fill(disk):
    with open(os.path.join(disk, "ballast"), "wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)) == 1 << 16:
                pass
        except OSError:
            pass

def free(disk):
    os.unlink(os.path.join(disk, "ballast"))

def log_some(phase, number=20, recording=None):
    for step in range(number):
        rr.log(f"{phase}/scalar", rr.Scalars(float(step)), recording=recording)
        rr.log(f"{phase}/image", rr.Image(random.integers(0, 256, (100, 100, 3), np.uint8)), recording=recording)

def report():
    wait_until(lambda: rr.statistics().logged == LOGGED[0], 20)
    (account,) = rr.statistics().producers
    return [account.logged, account.delivered, account.dropped_by_spool_limit, account.dropped_by_write_failure]

LOGGED = [0]
random = np.random.default_rng(0)
if __name__ == "__main__":
    rr.init("rerun_mp_disk")
"""


def kept(rows: list[Row]) -> Counter[str]:
    """Return how many of the program's rows there are by phase."""
    return Counter(row.entity_path.partition("/")[0] for row in rows if not row.entity_path.startswith("__rerun_mp"))


def distinct(rows: list[Row]) -> list[Row]:
    """Return the rows, having made sure that none is there twice."""
    assert len({row.row_id for row in rows}) == len(rows)
    return rows


FULL_UNDER_THE_FILE = (
    FILLING
    + """
    disk, healthy = sys.argv[1:]
    rr.save(os.path.join(disk, "out.rrd"))
    other = rr.RecordingStream("rerun_mp_other")
    other.save(healthy)
    log_some("before")
    rr.flush()
    fill(disk)
    log_some("full")
    log_some("other", recording=other)
    rr.flush()
    LOGGED[0] = 120
    print(json.dumps(report()))
    free(disk)
    log_some("after")
    rr.flush()
    LOGGED[0] = 160
    print(json.dumps(report()))
"""
)


@needs_namespace
def test_a_disk_full_under_one_file_costs_no_row_and_stops_nobody_else(run_python: RunPython, tmp_path: Path) -> None:
    """What comes while it is full waits in the spool, and is in the file when it has got room again."""
    disk, out, other, program = (tmp_path / name for name in ("disk", "copy.rrd", "other.rrd", "filling.py"))
    disk.mkdir()
    program.write_text(FULL_UNDER_THE_FILE)
    command = on_small_disks({disk: "48m"}, program, disk, other, copies={disk / "out.rrd": out})
    done = run_python(*command).check()
    assert list(map(json.loads, done.stdout.splitlines())) == [[120, 120, 0, 0], [160, 160, 0, 0]]
    assert done.stderr == ""
    for path in (out, other):
        verify(path)
    assert kept(distinct(rows_of(out))) == {"before": 40, "full": 40, "after": 40}
    assert kept(distinct(rows_of(other))) == {"other": 40}


FULL_UNTIL_THE_END = (
    FILLING
    + """
    disk, = sys.argv[1:]
    rr.save(os.path.join(disk, "out.rrd"))
    log_some("before")
    rr.flush()
    fill(disk)
    log_some("full")
"""
)


@needs_namespace
def test_a_disk_that_stays_full_leaves_the_rows_in_the_spool_and_says_where(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """The file keeps what it has; the program ends, names the directory, and nothing there is removed."""
    disk, out, joined, program = (tmp_path / name for name in ("disk", "copy.rrd", "joined.rrd", "filling.py"))
    disk.mkdir()
    program.write_text(FULL_UNTIL_THE_END)
    done = run_python(*on_small_disks({disk: "48m"}, program, disk, copies={disk / "out.rrd": out})).check()
    (spool,) = (place / "cache" / "rerun_mp").iterdir()
    assert (
        f"1 files could not be completed, because their disks are full; what they lack lies in {spool}" in done.stderr
    )
    parts = [out, *spool.glob("*/*.rrd")]
    subprocess.run([RERUN_BINARY, "rrd", "merge", "-o", joined, *parts], check=True, capture_output=True)
    assert kept(distinct(rows_of(joined))) == {"before": 40, "full": 40}
    shutil.rmtree(spool.parent)


SPOOLED = (
    FILLING
    + """
    spool_disk, path, number = sys.argv[1:]
    if spool_disk != "none":
        fill(spool_disk)
    for phase in range(int(number)):
        log_some(f"phase_{phase}", 100)
        rr.flush()
    LOGGED[0] = 200 * int(number)
    said = report()
    if spool_disk != "none":
        free(spool_disk)
    rr.save(path)
    log_some("last")
    rr.flush()
    LOGGED[0] += 40
    print(json.dumps([said, report()]))
"""
)


def test_the_spool_s_quota_drops_the_oldest_rows_and_counts_them(run_python: RunPython, tmp_path: Path) -> None:
    """Without a sink: the file that is set later has the rest, in the file and in the line at the end."""
    path, program = tmp_path / "out.rrd", tmp_path / "spooled.py"
    program.write_text(SPOOLED)
    done = run_python(program, "none", path, "8", env={"RERUN_MP_SPOOL_BYTES": str(8 << 20)}).check()
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
def test_a_disk_full_under_the_spool_drops_and_counts_and_recovers(run_python: RunPython, tmp_path: Path) -> None:
    """There is nowhere to put the rows; the calls go on, and what comes once there is room is kept."""
    disk, path, program = (tmp_path / name for name in ("disk", "out.rrd", "spooled.py"))
    disk.mkdir()
    program.write_text(SPOOLED)
    done = run_python(
        *on_small_disks({disk: "16m"}, program, disk, path, "2"), env={"XDG_CACHE_HOME": str(disk)}
    ).check()
    (logged, delivered, spool, write), last = json.loads(done.stdout)
    assert logged == 400 == delivered + spool + write
    assert write > 0
    assert last == [440, delivered + 40, spool, write]
    verify(path)
    counts = kept(distinct(rows_of(path)))
    assert (counts.total(), counts["last"]) == (delivered + 40, 40)
    assert f"{spool + write} rows were dropped: " in done.stderr
    assert f"{write} because neither file nor spool could be written" in done.stderr


SMALL_SPOOL_DISK = (
    FILLING
    + """
    path, = sys.argv[1:]
    for phase in range(10):
        log_some(f"phase_{phase}", 100)
        rr.flush()
    LOGGED[0] = 2000
    said = report()
    rr.save(path)
    print(json.dumps(said))
"""
)


@pytest.mark.soak
@needs_namespace
def test_a_disk_smaller_than_the_quota_drops_the_oldest_rows_and_counts_them(
    run_python: RunPython, tmp_path: Path
) -> None:
    """The spool reaches the end of its disk long before its own bound."""
    disk, path, program = (tmp_path / name for name in ("disk", "out.rrd", "spooled.py"))
    disk.mkdir()
    program.write_text(SMALL_SPOOL_DISK)
    done = run_python(*on_small_disks({disk: "24m"}, program, path), env={"XDG_CACHE_HOME": str(disk)}).check()
    logged, delivered, spool, write = json.loads(done.stdout)
    assert logged == 2000 == delivered + spool + write
    assert 0 < delivered < logged
    verify(path)
    counts = kept(distinct(rows_of(path)))
    assert counts.total() == delivered
    assert counts["phase_9"] == 200


BOTH_FULL = (
    FILLING
    + """
    disk, = sys.argv[1:]
    rr.save(os.path.join(disk, "out.rrd"))
    log_some("before")
    rr.flush()
    fill(disk)
    log_some("full")
    rr.flush()
    LOGGED[0] = 80
    print(json.dumps(report()))
    free(disk)
    log_some("after")
    rr.flush()
    LOGGED[0] = 120
    print(json.dumps(report()))
"""
)


@needs_namespace
def test_a_disk_full_under_file_and_spool_drops_counts_and_recovers(run_python: RunPython, tmp_path: Path) -> None:
    disk, out, program = (tmp_path / name for name in ("disk", "copy.rrd", "filling.py"))
    disk.mkdir()
    program.write_text(BOTH_FULL)
    command = on_small_disks({disk: "48m"}, program, disk, copies={disk / "out.rrd": out})
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
import os, sys
import numpy as np
import rerun_mp as rr
rr.init("rerun_mp_large")
rr.save(sys.argv[1])
large = np.zeros((1500, 1500, 3), np.uint8)
for number in range(3):
    try:
        rr.log("large", rr.Image(large))
    except rr.RingFullError as error:
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
    """It is named with its size and where there is no room; the rows after it are logged. No file is left half."""
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
        assert len(messages) == 3
        assert all("a row of 67" in message and "No space left on device" in message for message in messages)
    assert kept(rows_of(path)) == {"small": 1}
