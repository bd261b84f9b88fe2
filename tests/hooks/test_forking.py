"""Forks and imports: children neither wait for their parent's imports nor repeat them."""

from __future__ import annotations

from pathlib import Path

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
