"""A collector starts wherever Python runs, with or without `sys.executable`. Where it cannot, `init` says why."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import RunPython
from tests.harness.programs import PROGRAM_SECS, ROOT
from tests.harness.recordings import Row
from tests.harness.requirements import need

pytestmark = pytest.mark.real_collectors

ROWS = 10
LOGS = f"""
import sys
import rerun_mp as rr
rr.init("rerun_mp_launch")
rr.save(sys.argv[1])
for number in range({ROWS}):
    rr.log("row", rr.Scalars(number))
"""
LIES = "import sys; sys.executable = {executable!r}\n" + LOGS
FAILS = """
import os, sys
import rerun_mp as rr
try:
    rr.init("rerun_mp_launch")
except rr.CollectorError as error:
    print(error)
    print([name for name in os.environ if name.startswith("RERUN_MP_SESSION")])
else:
    sys.exit("init has not failed")
"""
RowsOf = Callable[..., list[Row]]


@pytest.mark.parametrize("executable", [None, "", "/nowhere/python", shutil.which("false")])
def test_a_python_is_found_without_the_help_of_sys_executable(
    executable: str | None, run_python: RunPython, tmp_path: Path, rows_of: RowsOf
) -> None:
    path = tmp_path / "run.rrd"
    done = run_python(LIES.format(executable=executable), path, fresh=True).check()
    assert done.stderr == ""
    assert len(rows_of(path)) == ROWS


def test_a_program_that_embeds_python_has_a_collector(tmp_path: Path, place: Path, rows_of: RowsOf) -> None:
    program, script, path = tmp_path / "embedding", tmp_path / "script.py", tmp_path / "run.rrd"
    _compile(Path(__file__).parent / "programs" / "embedding.c", program)
    script.write_text(f"import sys; sys.path[:0] = {sys.path!r}; sys.argv = ['', {str(path)!r}]\n{LOGS}")
    done = subprocess.run(
        [program, script], capture_output=True, text=True, timeout=PROGRAM_SECS, check=False, env=_home()
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(rows_of(path)) == ROWS


def _home() -> dict[str, str]:
    """Return an environment in which an embedded Python finds its standard library, as an embedding program sets it."""
    return {**os.environ, "PYTHONHOME": f"{sys.base_prefix}:{sys.base_exec_prefix}"}


def _compile(source: Path, program: Path) -> None:
    compiler = shutil.which("cc")
    need(None if compiler else "a C compiler", "RERUN_MP_REQUIRE_FIELD")
    get = sysconfig.get_config_var
    libraries = str(get("LIBDIR"))
    command = [
        str(compiler),
        *("-o", str(program), str(source), f"-I{get('INCLUDEPY')}"),
        *(f"-L{libraries}", f"-L{get('LIBPL')}", f"-Wl,-rpath,{libraries}", "-Wl,--export-dynamic"),
        f"-lpython{get('LDVERSION')}",
        *f"{get('LIBS')} {get('SYSLIBS')}".split(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    need(None if done.returncode == 0 else f"Python's library and headers: {done.stderr}", "RERUN_MP_REQUIRE_FIELD")


def test_the_variable_names_another_python(run_python: RunPython, tmp_path: Path, rows_of: RowsOf) -> None:
    wrapper, path, trace = tmp_path / "wrapper", tmp_path / "run.rrd", tmp_path / "trace"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {trace}\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o700)
    run_python(LOGS, path, env={"RERUN_MP_PYTHON": str(wrapper)}, fresh=True).check()
    assert len(rows_of(path)) == ROWS
    assert "rerun_mp.collector guard" in trace.read_text()


@pytest.mark.parametrize(("chosen", "reason"), [("/nowhere", "No such file"), ("/bin/cat", "it is no Python")])
def test_a_wrong_choice_is_an_error_of_init(chosen: str, reason: str, run_python: RunPython) -> None:
    done = run_python(FAILS, env={"RERUN_MP_PYTHON": chosen}, fresh=True).check()
    message, exported = done.stdout.splitlines()
    assert f"RERUN_MP_PYTHON names {chosen}, which cannot run the collector: {reason}" in message
    assert exported == "[]"


def test_a_worker_that_cannot_load_its_packages_is_an_error_of_init(run_python: RunPython, tmp_path: Path) -> None:
    """The reason stands in the error, no process goes on trying, and nothing is left behind."""
    (tmp_path / "broken" / "pyarrow").mkdir(parents=True)
    (tmp_path / "broken" / "pyarrow" / "__init__.py").write_text('raise ImportError("this pyarrow cannot be loaded")\n')
    path = os.pathsep.join([str(tmp_path / "broken"), str(ROOT)])
    done = run_python(FAILS, env={"PYTHONPATH": path}, fresh=True).check()
    # The guard tries again after a pause, which a busy machine may let pass before the program looks.
    reason = (
        r"[2-9] starts of its worker failed\. Its log says: ImportError: this pyarrow cannot be loaded\. It runs with"
    )
    assert re.search(reason, done.stdout)


def test_a_python_that_ends_at_once_is_an_error_of_init(run_python: RunPython, tmp_path: Path) -> None:
    """A wrapper answers the question for its version, and refuses to run a program."""
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(
        f'#!/bin/sh\n[ "$1" = -S ] && exec {sys.executable} "$@"\necho licence server is away >&2\nexit 7\n'
    )
    wrapper.chmod(0o700)
    done = run_python(FAILS, env={"RERUN_MP_PYTHON": str(wrapper)}, fresh=True).check()
    assert (
        "the collector cannot run: 0 starts of its worker failed. Its log says: licence server is away" in done.stdout
    )


STARTS = """
import json, os, sys
import rerun_mp as rr
from rerun_mp.session import collector_check
collector_check.await_first_worker = lambda segment: print("waited")
rr.init("rerun_mp_launch")
print(json.dumps(sorted(name for name in sys.modules if name.partition(".")[0] in ("numpy", "pyarrow", "rerun"))))
"""


def test_a_usual_start_is_not_waited_for(run_python: RunPython) -> None:
    assert json.loads(run_python(STARTS, fresh=True).check().stdout) == []
