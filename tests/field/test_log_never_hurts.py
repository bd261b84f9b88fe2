"""Outside strict mode `log` and the program's exit raise no exception of rerun_mp, warn once, and count exactly."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.faults.test_exhaustion_limits import AS_ANOTHER_USER
from tests.harness.recordings import rows_of
from tests.harness.small_disks import may_unshare, on_small_disks

pytestmark = pytest.mark.real_collectors

PROGRAM = Path(__file__).with_name("programs") / "refused_calls.py"
SMALL = {"RERUN_MP_RING_BYTES": str(1 << 20), "RERUN_MP_SLOT_BYTES": str(64 << 10)}
CALLS = 400
"""Calls of the program after the cause."""
WORDS = {
    "segment removed": ("has been removed while this process uses it", "the session's shared memory was removed"),
    "file size": ("File too large", "a row larger than the ring could not be written to the spool (File too large)"),
    "seccomp": ("Operation not permitted", "no slot of the ring could be claimed (Operation not permitted)"),
}
"""Cause -> words of the warning, and of the line at the exit."""


@pytest.mark.skipif(not may_unshare(), reason="the program needs a /dev/shm of its own")
@pytest.mark.parametrize("cause", WORDS)
def test_rows_that_the_system_refuses_are_told_once_and_counted(
    cause: str, place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    words, why = WORDS[cause]
    path, program = (
        tmp_path / "out.rrd",
        on_small_disks({Path("/dev/shm"): "64m"}, PROGRAM, cause, tmp_path / "out.rrd"),
    )
    done = run_python(*program, env=SMALL).check()
    report = json.loads(done.stdout)
    assert len([text for text in report["warnings"] if words in text]) == 1, done.describe()
    assert set(report["by_cause"]) == {why}
    assert report["refused"] == report["by_cause"][why] > 0
    assert f"rerun_mp: {report['refused']} rows were not logged: {report['refused']} because {why}." in done.stderr
    assert "Traceback" not in done.stderr
    counts = Counter(row.entity_path for row in rows_of(path))
    assert counts["before"] == 10
    assert counts["after"] + counts["columns"] == CALLS - report["refused"]
    if cause == "segment removed":
        # Recovery finds sessions by their segments, so these directories stay.
        for directory in place.glob("*/rerun_mp"):
            shutil.rmtree(directory)


@pytest.mark.skipif(not may_unshare(), reason="the program needs a /dev/shm of its own")
def test_a_full_shared_memory_delays_rows_and_loses_none(run_python: RunPython, tmp_path: Path) -> None:
    path, program = tmp_path / "out.rrd", (PROGRAM, "shared memory full", tmp_path / "out.rrd")
    done = run_python(*on_small_disks({Path("/dev/shm"): "8m"}, *program), env=SMALL).check()
    assert json.loads(done.stdout) == {"warnings": [], "refused": 0, "by_cause": {}}
    assert Counter(row.entity_path for row in rows_of(path)) == {"before": 10, "after": 200, "columns": 200}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user whose processes are limited")
def test_no_call_waits_for_a_collector_that_cannot_start(place: Path, run_python: RunPython, tmp_path: Path) -> None:
    """The policy is `block`. Rows for which the ring has room wait there until one can start. Others are counted."""
    uid, directory = 54322, place / "out"
    directory.mkdir()
    for name in (place, directory, *(place / name for name in ("runtime", "cache", "tmp"))):
        os.chown(name, uid, uid)
    program = tmp_path / "refused.py"
    program.write_text(PROGRAM.read_text())
    path = directory / "out.rrd"
    done = run_python(AS_ANOTHER_USER, str(uid), program, "no collector", path, env=SMALL).check()
    report = json.loads(done.stdout)
    (warning,) = report["warnings"]
    assert "no collector could be started: Resource temporarily unavailable" in warning
    assert set(report["by_cause"]) == {"no collector could be started"}
    assert report["refused"] > 0
    assert f"{report['refused']} rows were not logged" in done.stderr
    assert len(rows_of(path)) == CALLS - report["refused"]
