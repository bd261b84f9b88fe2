"""Programs in the preloaded interpreter have the same surroundings and ends as in an interpreter of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.preloading import PreloadedProcess

PROGRAMS = Path(__file__).with_name("user_programs")


def test_a_program_finds_the_same_surroundings(start_python: StartPython) -> None:
    """Command line, environment, descriptors, groups, paths and main module, in the program and in a spawned child."""
    seen = []
    for fresh in (False, True):
        program = start_python(PROGRAMS / "surroundings.py", "a", "b c", env={"RERUN_MP_TEST": "set"}, fresh=fresh)
        assert isinstance(program.process, subprocess.Popen if fresh else PreloadedProcess)
        seen.append(program.wait().check().stdout)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("sys.exit(7)", 7),
        ("sys.exit('a message')", 1),
        ("1 / 0", 1),
        ("os._exit(9)", 9),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(30)", -2),
        ("threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()", 0),
        ("atexit.register(print, 'at exit')", 0),
        ("os.fork() or sys.exit(3); sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))", 3),
    ],
)
def test_a_program_ends_in_the_same_way(ending: str, code: int, run_python: RunPython) -> None:
    """With the same exit code or signal, and the same output of the interpreter."""
    program = f"import atexit, os, signal, sys, threading, time\nprint('begun')\n{ending}\n"
    preloaded, fresh = (run_python(program, fresh=fresh) for fresh in (False, True))
    assert (preloaded.returncode, preloaded.stdout) == (fresh.returncode, fresh.stdout)
    assert preloaded.returncode == code
    # The directories of the two programs differ.
    assert preloaded.stderr.replace("program-0", "program-1") == fresh.stderr


@pytest.mark.parametrize("fresh", [False, True], ids=["preloaded", "fresh"])
def test_a_program_that_does_not_exist_is_named(fresh: bool, run_python: RunPython, tmp_path: Path) -> None:
    """The exit code is 2, as the interpreter's."""
    done = run_python(tmp_path / "nowhere.py", fresh=fresh)
    assert done.returncode == 2
    assert f"can't open file '{tmp_path}/nowhere.py'" in done.stderr


def test_an_unusual_environment_gets_an_interpreter_of_its_own(start_python: StartPython) -> None:
    """The preloaded interpreter and its modules have read their variables before the program starts."""
    program = start_python("import sys; print(sys.flags.optimize)", env={"PYTHONOPTIMIZE": "1"})
    assert isinstance(program.process, subprocess.Popen)
    assert program.wait().check().stdout == "1\n"
