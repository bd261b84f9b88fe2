"""Files in a temporary directory that the program removes are given up: none is rescued, and no disk is blamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.leftovers import Machine
from tests.harness.programs import COMMAND, wait_until

pytestmark = pytest.mark.real_collectors

PROGRAM = """
import sys, tempfile
import rerun_mp as rr
with tempfile.TemporaryDirectory() as directory:
    recording = rr.RecordingStream("rerun_mp_temporary")
    recording.save(directory + "/out.rrd")
    recording.log("before", rr.Scalars(1.0))
    if sys.argv[1] == "completed":
        del recording
        recording = rr.RecordingStream("rerun_mp_temporary")
    else:
        recording.flush()
for step in range(100):
    recording.log("after", rr.Scalars(1.0))
recording.flush()
"""


@pytest.mark.parametrize("how", ["completed", "open"])
def test_a_file_in_a_removed_temporary_directory_is_not_kept(how: str, place: Path, run_python: RunPython) -> None:
    """Also rows that are logged after the directory has gone. Neither this run nor the next one keeps them."""
    before = Machine.snapshot(place)
    for _ in range(2):
        assert run_python(PROGRAM, how).check().stderr == ""
    assert not list((place / "data").rglob("*.rrd"))
    # The collector removes the segment last, which may be after the program's end.
    wait_until(lambda: not before.leftovers().segments, what="the end of the session")


GONE = """
import os, shutil, sys
import rerun_mp as rr
rr.init("rerun_mp_gone")
rr.save(sys.argv[1])
with rr.RecordingStream("rerun_mp_gone"):
    pass
rr.log("before", rr.Scalars(1.0))
rr.get_global_data_recording().flush()
with rr.get_global_data_recording():
    pass
shutil.rmtree(os.path.dirname(sys.argv[1]))
for step in range(100):
    rr.log("after", rr.Scalars(1.0))
"""


def test_a_directory_of_the_users_that_is_gone_is_the_reason_that_is_named(
    place: Path, run_python: RunPython, tmp_path: Path
) -> None:
    """The rows stay in the spool until a recovery."""
    directory = tmp_path / "runs"
    directory.mkdir()
    done = run_python(GONE, directory / "out.rrd").check()
    assert "full" not in done.stderr
    reason = f"{directory / 'out.rrd'} has no directory any more"
    assert f"1 file could not be completed: {reason}. The missing rows are in {place}" in done.stderr
    run_python(COMMAND, "recover", "--quiet").check()
    assert len(list((place / "data").rglob("*.rrd"))) == 1
