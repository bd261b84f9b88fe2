"""A process that should log into a session, and cannot find it, says so once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows

pytestmark = pytest.mark.real_collectors

CHILD = "import rerun_mp as rr\nfor step in range(3): rr.log('child', rr.Scalars(float(step)))"
PARENT = f"""
import os, subprocess, sys
import rerun_mp as rr
from rerun_mp.integrations.launchers import environment
rr.init("rerun_mp_adrift")
rr.save(sys.argv[1])
rr.log("parent", rr.Scalars(1.0))
bare = {{"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
command = {{"env={{}}": [], "env -i": ["env", "-i", f"PYTHONPATH={{bare['PYTHONPATH']}}"]}}[sys.argv[2]]
subprocess.run([*command, sys.executable, "-c", {CHILD!r}], env=bare, check=True)
if len(sys.argv) > 3:
    subprocess.run([sys.executable, "-c", {CHILD!r}], env={{**bare, **environment()}}, check=True)
"""


@pytest.mark.parametrize("way", ["env={}", "env -i"])
def test_a_child_without_the_variable_names_what_to_pass_on(way: str, run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(PARENT, tmp_path / "out.rrd", way, fresh=True).check()
    assert done.stderr.count("logs in a session, which this process cannot find") == 1
    assert "Pass the variable RERUN_MP_SESSION on to it" in done.stderr
    assert "3 calls of this process logged in no session" in done.stderr
    assert count_rows(tmp_path / "out.rrd") == {"parent": 1}


def test_a_child_with_the_variable_logs_and_says_nothing(run_python: RunPython, tmp_path: Path) -> None:
    done = run_python(PARENT, tmp_path / "out.rrd", "env={}", "and with", fresh=True).check()
    assert done.stderr.count("which this process cannot find") == 1
    assert count_rows(tmp_path / "out.rrd") == {"parent": 1, "child": 3}


def test_a_program_without_init_logs_nothing_and_says_nothing_as_in_rerun(run_python: RunPython) -> None:
    done = run_python(CHILD, fresh=True).check()
    assert (done.stdout, done.stderr) == ("", "")
