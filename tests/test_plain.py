"""On a machine that lacks what a session needs `rerun_mp` is plain rerun: it warns once, and programs run."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import ROOT, Finished
from tests.harness.recordings import rows_of, verify

ELSEWHERE = ROOT / "tests" / "harness" / "elsewhere"
PORTABLE = {
    *("rerun_mp", "rerun_mp.compat", "rerun_mp.compat.versions", "rerun_mp.errors", "rerun_mp.hooks", "rerun_mp.plain"),
    *(
        "rerun_mp.hooks.aliases",
        "rerun_mp.hooks.when_loaded",
        "rerun_mp.protection",
        "rerun_mp.session",
        "rerun_mp.session.statistics",
    ),
    *("rerun_mp.settings", "rerun_mp.session.rotation", "rerun_mp.session.rules"),
    *("rerun_mp.shm", "rerun_mp.shm.interruptions"),
}
"""Our modules that may be loaded on every system."""
OPENING = "So `rerun_mp` is plain rerun here."

NAMES = """
import sys
import rerun
import rerun_mp as rr
assert not rr.is_protected()
loaded = {name for name in sys.modules if name.partition(".")[0] == "rerun_mp"}
assert loaded - {"rerun_mp.api"} <= PORTABLE, loaded
for name in sorted({*rr.__all__, *(name for name in dir(rerun) if not name.startswith("_"))} - {"datatypes"}):
    assert getattr(rr, name) is not None, name
for name in ("log", "set_time", "disconnect", "RecordingStream", "Scalars", "Points3D", "GrpcSink", "shutdown_at_exit"):
    assert getattr(rr, name) is getattr(rerun, name), name
import rerun_mp.blueprint as rrb
assert rrb is rerun.blueprint
from rerun_mp import *
""".replace("PORTABLE", repr(PORTABLE))
USES = Path(__file__).with_name("programs") / "elsewhere.py"
USED = {"loss": 2, "text": 1, "decorated": 1, "loader/3/batch": 1, "loader/3/a/1": 1, "logs/net": 1}


def run(
    run_python: RunPython, system: str, program: str | Path, *args: Path, env: dict[str, str] | None = None
) -> Finished:
    """Run a program in an interpreter that looks like one of another system."""
    environment = {"PYTHONPATH": str(ELSEWHERE), "ELSEWHERE": system, **(env or {})}
    return run_python(program, *args, fresh=True, env=environment)


def told(done: Finished) -> list[str]:
    """Return the lines of our warnings."""
    return [line for line in done.stderr.splitlines() if OPENING in line]


@pytest.mark.parametrize(
    ("system", "missing"),
    [
        ("darwin", "this system is macOS, and rerun_mp's sessions need Linux"),
        ("win32", "this system is Windows, and rerun_mp's sessions need Linux"),
        ("musl", "this system's C library is musl, and rerun_mp's sessions need glibc"),
        ("no fcntl", "this Python has no module fcntl"),
        ("no fork", "this Python has no os.register_at_fork"),
    ],
)
def test_the_missing_part_is_named_once_and_every_name_is_there(
    system: str, missing: str, run_python: RunPython
) -> None:
    done = run(run_python, system, NAMES).check()
    (line,) = told(done)
    assert f"RuntimeWarning: {missing}. {OPENING}" in line
    assert "program.py:4" in line, "the warning shows the line of the import"


@pytest.mark.parametrize(
    ("system", "missing"),
    [
        ("no wipe", "the kernel or a sandbox refuses madvise(MADV_WIPEONFORK) (Operation not permitted), which"),
        ("no locks", "the kernel or a sandbox refuses locks of open file descriptions (Operation not permitted)"),
    ],
)
def test_a_sandbox_that_refuses_a_call_leaves_plain_rerun(
    system: str, missing: str, run_python: RunPython, tmp_path: Path
) -> None:
    path = tmp_path / "run.rrd"
    done = run(run_python, system, USES, path).check()
    (line,) = told(done)
    assert missing in line
    assert Counter(row.entity_path for row in rows_of(path)) >= Counter(USED)


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_what_only_rerun_mp_has_does_what_it_can(system: str, run_python: RunPython, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    done = run(run_python, system, USES, path).check()
    assert len(told(done)) == 1
    verify(path)
    counts = Counter(row.entity_path for row in rows_of(path))
    assert {name: counts[name] for name in USED} == USED


def test_the_readmes_first_program_runs_and_has_the_rows_of_rerun(
    run_python: RunPython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS, where children are spawned: each imports rerun_mp again, and does not warn again."""
    (code,) = re.findall(r"```python\n(import multiprocessing.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    spawning = code.replace("multiprocessing.Pool(4)", 'multiprocessing.get_context("spawn").Pool(1)')
    assert spawning != code
    found = {}
    for name in ("rerun_mp", "rerun"):
        directory = tmp_path / name
        directory.mkdir()
        monkeypatch.chdir(directory)
        done = run(run_python, "darwin", spawning.replace("import rerun_mp", f"import {name}"), env={}).check()
        assert len(told(done)) == (name == "rerun_mp"), done.describe()
        found[name] = sorted(row.entity_path for row in rows_of(directory / "my_app.rrd"))
    assert found["rerun_mp"] == found["rerun"]


def test_protection_can_be_required(run_python: RunPython) -> None:
    code = "try:\n    import rerun_mp\nexcept OSError as error:\n    print(error)\n"
    done = run(run_python, "darwin", code, env={"RERUN_MP_REQUIRE": "1"}).check()
    assert "so rerun_mp cannot protect rows here, and RERUN_MP_REQUIRE is set" in done.stdout
    assert not done.stderr


def test_the_command_says_that_there_are_no_sessions(run_python: RunPython) -> None:
    for code in ("import rerun_mp.__main__ as command", "import rerun_mp.cli as command"):
        done = run(run_python, "win32", f"{code}\ncommand.main()")
        assert done.returncode == 2
        assert "rerun-mp: this system is Windows" in done.stderr
        assert "Run your program without this command." in done.stderr


def test_a_session_needs_no_posix_ipc(run_python: RunPython, tmp_path: Path) -> None:
    """As on Python 3.14 without a compiler; the collector is without it, too."""
    path = tmp_path / "run.rrd"
    code = """
        import os, sys
        import rerun_mp as rr
        from rerun_mp.shm import semaphores
        assert semaphores.Semaphore.__module__ == "rerun_mp.shm.semaphores"
        rr.init("without", send_properties=False)
        rr.save(sys.argv[1])
        for _ in range(3):
            if os.fork() == 0:
                rr.log("child", rr.Scalars(1.0))
                os._exit(0)
            os.wait()
    """
    done = run(run_python, "no posix_ipc", code, path).check()
    assert "rerun" not in done.stderr  # from 3.12 on, Python itself warns of the program's fork
    verify(path)
    assert [row.entity_path for row in rows_of(path)] == ["child"] * 3
