"""Programs in the preloaded interpreter have the same surroundings and ends as in an interpreter of their own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.preloading import PreloadedProcess, server_pids
from tests.harness.programs import wait_until
from tests.harness.sessions import SessionWatch

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


STATUS = ("SigBlk", "Umask", "Cap", "Seccomp", "Uid", "Gid")
LIBRARY_SIGNALS = 0b11 << 31
"""Signals 32 and 33: the C library has them for itself."""

LOGS_AND_WAITS = """
import sys, time
import rerun_mp as rr
rr.init("rerun_mp_preloading")
rr.save(sys.argv[1])
rr.log("text", rr.TextLog("here"))
rr.flush()
print("flushed", flush=True)
time.sleep(60)
"""


def test_a_forked_collector_has_the_same_surroundings(tmp_path: Path, place: Path) -> None:
    """Guard and worker have the command lines, environments, descriptors, signals and groups of ones really started."""
    seen = []
    for real in (True, False):
        watch, own = SessionWatch(), tmp_path / str(real)
        own.mkdir()
        starter = StartPython(own, real_collectors=real)
        try:
            program = starter(LOGS_AND_WAITS, own / "out.rrd", env=watch.environment)
            program.wait_for_output("flushed")
            guard, worker = watch.collector("guard"), watch.collector("worker")
            assert worker.ppid() == guard.pid
            assert guard.ppid() not in (program.pid, *server_pids())
            # What the session's name and nonce are differs.
            names = dict.fromkeys((watch.segment.name, watch.nonce.hex(), watch.nonce.hex()[:16], str(own)), "")
            seen.append([_steady_look(process, names) for process in (guard, worker)])
            is_forked = Path(f"/proc/{guard.pid}/maps").read_text().count("numpy") > 0
            assert is_forked is not real, "a guard that is really started loads no numpy"
        finally:
            starter.end()
    assert seen[0] == seen[1]


def _steady_look(process: psutil.Process, names: dict[str, str]) -> dict[str, Any]:
    """Return what a collector's process has, without what it has open for a moment."""
    looks = [_look(process, names)]

    def is_steady() -> bool:
        looks.append(_look(process, names))
        return looks[-1] == looks[-2]

    wait_until(is_steady, what="two looks that find the same")
    return looks[-1]


def _look(process: psutil.Process, names: dict[str, str]) -> dict[str, Any]:
    """Return what a collector's process has, with what differs between sessions taken out."""

    def plain(text: str) -> str:
        for name, replacement in names.items():
            text = text.replace(name, replacement)
        return text

    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    directory = Path(f"/proc/{process.pid}/fd")
    inherited = {n: plain(os.readlink(directory / str(n))).partition("[")[0] for n in (0, 1, 2, 8)}
    return {
        "command": list(map(plain, process.cmdline())),
        "environment": {name: plain(value) for name, value in process.environ().items()},
        "descriptors": inherited,
        "number of descriptors": process.num_fds(),
        "directory": process.cwd(),
        "status": [line for line in status if line.startswith(STATUS)],
        "ignored signals": _ignored(status),
        "leads session": os.getsid(process.pid) == process.pid,
        "leads group": os.getpgid(process.pid) == process.pid,
        "name": process.name(),
        "program": process.exe(),
    }


def _ignored(status: list[str]) -> int:
    (line,) = (line for line in status if line.startswith("SigIgn:"))
    return int(line.split()[1], 16) & ~LIBRARY_SIGNALS
