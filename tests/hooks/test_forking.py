"""Forks and imports: children neither wait for their parent's imports nor repeat them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import RunPython

FIRST_FORK = """
import os, sys
import rerun_mp as rr
rr.init("rerun_mp_forking")
assert "rerun" not in sys.modules and "logging" not in sys.modules
for _ in range(2):
    child = os.fork()
    if child == 0:
        print("rerun" in sys.modules, "pyarrow" in sys.modules, flush=True)
        import logging
        logging.getLogger("child").setLevel("INFO")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
import logging
logging.getLogger("parent").setLevel("INFO")
"""


def test_the_first_fork_loads_the_modules_that_logging_needs(run_python: RunPython, tmp_path: Path) -> None:
    """Children have them. Fork hooks that these modules register run both before and after this fork."""
    done = run_python(FIRST_FORK, tmp_path, fresh=True).check()
    assert done.stdout == "True True\nTrue True\n"
    assert "Exception ignored" not in done.stderr


NO_FORK = """
import subprocess, sys
import rerun_mp as rr
rr.init("rerun_mp_forking")
subprocess.run(["true"], check=True)
assert "rerun" not in sys.modules
"""


def test_a_program_that_only_starts_others_loads_nothing(run_python: RunPython) -> None:
    run_python(NO_FORK, fresh=True).check()


FIRST_ROW = """
import gc, os
import rerun_mp as rr
from rerun_mp.producer.hot_appends import factory
rr.init("rerun_mp_forking")
rr.save("out.rrd")
gc.collect()
young = [[] for _ in range(gc.get_threshold()[0] - 50)]
child = os.fork()
if child == 0:
    before = gc.get_stats(), factory.cache_info().misses
    rr.log("number", rr.Scalars(1.0))
    os._exit(before != (gc.get_stats(), factory.cache_info().misses))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_a_childs_first_row_waits_for_no_collection_and_no_compiler(run_python: RunPython) -> None:
    run_python(FIRST_ROW, fresh=True).check()


PAGES_OF_FIRST_ROW = """
import os, resource
import rerun_mp as rr
rr.init("rerun_mp_forking")
rr.save("out.rrd")
child = os.fork()
if child == 0:
    row = rr.Scalars(1.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    rr.log("number", row)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
MAX_PAGES = 415
"""A child copies a page in 2.4 to 5 us, which makes most of its first row's time."""


def test_a_childs_first_row_copies_few_pages(run_python: RunPython) -> None:
    assert int(run_python(PAGES_OF_FIRST_ROW, fresh=True).check().stdout) <= MAX_PAGES


MANY_FORKS = """
import gc, os
import rerun_mp as rr
rr.init("rerun_mp_forking")
gc.collect()
gc.disable()
young = [[] for _ in range(10 * gc.get_threshold()[0])]
gc.enable()
generations = []
gc.callbacks.append(lambda phase, facts: generations.append(facts["generation"]))
for _ in range(2 * gc.get_threshold()[1]):
    child = os.fork()
    if child == 0:
        generations.clear()
        new = [[] for _ in range(2 * gc.get_threshold()[0])]
        os._exit(max(generations))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert generations and max(generations) == 0, generations
"""


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter has one generation of young objects")
def test_many_forks_bring_no_child_a_collection_of_older_objects(run_python: RunPython) -> None:
    """It would copy all pages of its parent's objects."""
    run_python(MANY_FORKS, fresh=True).check()
