"""A program whose temporary directory and home are removed while it runs: processes that start then log as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, verify

pytestmark = pytest.mark.real_collectors

ROWS = 100
LATER = Path(__file__).with_name("programs") / "removed_spool.py"
PROGRAM = f"""
import os, shutil, signal, subprocess, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.shm.layout import Header

rr.init("rerun_mp_thrown_away")
rr.save(sys.argv[1])
rr.log("before", rr.Scalars(0.0))
rr.flush()
segment = current.session().segment
for directory in (segment.runtime_directory, segment.spool_directory):
    shutil.rmtree(os.path.dirname(directory))
if "set" in sys.argv:
    rr.save(sys.argv[2])
child = '''
import rerun_mp as rr
for step in range({ROWS}):
    rr.log("child", rr.Scalars(float(step)))
'''
subprocess.run([sys.executable, "-c", child], check=True)
rr.log("after", rr.Scalars(0.0))
"""


def test_a_subprocess_finds_the_session_of_a_program_whose_directories_are_gone(
    run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "out.rrd"
    done = run_python(PROGRAM, path, fresh=True).check()
    assert count_rows(path) == {"before": 1, "child": ROWS, "after": 1}
    verify(path)
    assert done.stderr == ""


@pytest.mark.parametrize("how", [["killed"], ["late"], ["late", "killed"]], ids="-".join)
def test_a_removed_spool_costs_no_row(how: list[str], run_python: RunPython, tmp_path: Path) -> None:
    """Rows that have no file yet lay there, and what the next life of the collector must know."""
    path = tmp_path / "out.rrd"
    done = run_python(LATER, path, *how, fresh=True).check()
    assert count_rows(path) == dict.fromkeys(("before", "after", "later"), ROWS)
    verify(path)
    assert list(tmp_path.glob("*.rrd")) == [path]
    assert done.stderr == ""


def test_a_sink_that_is_set_after_that_is_added_to_those_before(run_python: RunPython, tmp_path: Path) -> None:
    """The configuration is changed, and not begun anew: the default recording stays."""
    first, second = tmp_path / "first.rrd", tmp_path / "second.rrd"
    run_python(PROGRAM, first, second, "set", fresh=True).check()
    assert count_rows(first) == {"before": 1}
    assert count_rows(second) == {"child": ROWS, "after": 1}
    verify(first)


COUNTED = f"""
import multiprocessing, os, shutil, sys
import rerun_mp as rr
from rerun_mp.session import current
from rerun_mp.session.waiting import wait_until

def log():
    for step in range({ROWS}):
        rr.log("rows", rr.Scalars(float(step)))

rr.init("rerun_mp_thrown_away")
rr.save(sys.argv[1])
child = multiprocessing.get_context("fork").Process(target=log)
child.start()
child.join()
log()
assert wait_until(lambda: any(not one.is_live for one in rr.statistics().producers), 30.0)
segment = current.session().segment
shutil.rmtree(segment.runtime_directory)
assert wait_until(lambda: rr.statistics().stored == {2 * ROWS}, 30.0)
"""


def test_processes_that_have_ended_count_also_after_the_removal(run_python: RunPython, tmp_path: Path) -> None:
    """As a logout removes the directory. Their rows were missing in the statistics."""
    run_python(COUNTED, tmp_path / "out.rrd", fresh=True).check()
