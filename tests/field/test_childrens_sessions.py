"""A session that a forked child has begun: its file is complete when the child has ended, or when the program has."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.recordings import count_rows, verify

pytestmark = pytest.mark.real_collectors

JOINED = """
import multiprocessing, sys
from rerun_mp.encoding.rrd_files import is_complete

def work(path):
    import rerun_mp as rr
    rr.init("rerun_mp_childs")
    rr.save(path)
    for step in range(100):
        rr.log("child", rr.Scalars(float(step)))

if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[2]).Process(target=work, args=(sys.argv[1],))
    child.start()
    child.join()
    print(child.exitcode, is_complete(sys.argv[1]))
"""
GONE = """
import os, signal, sys
import rerun_mp as rr
child = os.fork()
if not child:
    rr.init("rerun_mp_childs")
    rr.save(sys.argv[1])
    for step in range(100):
        rr.log("child", rr.Scalars(float(step)))
    os._exit(0) if sys.argv[2] == "exit" else os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_the_file_is_complete_when_the_child_is_joined(method: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "out.rrd"
    assert run_python(JOINED, path, method, fresh=True).check().stdout.split() == ["0", "True"]
    assert count_rows(path) == {"child": 100}
    verify(path)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_program_waits_for_the_file_of_a_child_that_could_not(
    end: str, run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "out.rrd"
    run_python(GONE, path, end, fresh=True).check()
    verify(path)
    assert count_rows(path) == {"child": 100}


REPLACED = """
import multiprocessing, sys
import rerun_mp as rr

def work(path, number):
    rr.init("rerun_mp_childs")
    rr.save(path, mode="resume")
    for step in range(100):
        rr.log(f"child/{number}", rr.Scalars(float(step)))

if __name__ == "__main__":
    for number in range(3):
        child = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1], number))
        child.start()
        child.join()
"""


def test_children_that_follow_one_another_go_on_with_the_file(run_python: RunPython, tmp_path: Path) -> None:
    """As the workers of a server that are all replaced. Each of them has a session of its own."""
    path = tmp_path / "out.rrd"
    assert run_python(REPLACED, path).check().stderr == ""
    verify(path)
    assert count_rows(path) == {f"child/{number}": 100 for number in range(3)}


def test_children_that_are_forked_before_any_session_have_one(run_python: RunPython, tmp_path: Path) -> None:
    """Without multiprocessing, too: each begins the same recording."""
    path = tmp_path / "out.rrd"
    code = """
    import os, sys
    import rerun_mp as rr
    children = []
    for number in range(2):
        if not (child := os.fork()):
            rr.init("rerun_mp_childs")
            print(rr.get_recording_id(), flush=True)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    """
    first, second = run_python(code, path, fresh=True).check().stdout.split()
    assert first == second
