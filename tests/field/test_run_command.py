"""`rerun-mp run -- any program`: it is captured, or the command says before the start what it cannot do."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest
from rerun.chunk import RrdReader

from tests.cli.commands import COMMAND, call
from tests.harness.recordings import count_rows
from tests.harness.requirements import need_field

BLUEPRINT = """
import importlib, sys
rr = importlib.import_module(sys.argv[1])
import rerun.blueprint as rrb
rr.init("rerun_mp_blueprint")
rr.save(sys.argv[2], default_blueprint=rrb.Blueprint(rrb.TextLogView(origin="/a")))
rr.log("a", rr.TextLog("x"))
"""


@pytest.mark.parametrize("module", ["rerun", "rerun_mp"])
def test_a_default_blueprint_is_in_both_files(module: str, tmp_path: Path) -> None:
    path, own = tmp_path / "run.rrd", tmp_path / "own.rrd"
    ended = call("run", "--save", path, "--", sys.executable, "-c", BLUEPRINT, module, own)
    assert ended.returncode == 0, ended.stderr
    for file in (path, own):
        assert count_rows(file) == {"a": 1}
        assert len(list(RrdReader(file).blueprints())) == 1, file


LOG = "rr.init('rerun_mp_order'); rr.log('a', rr.TextLog('x'))"
ORDERS = {
    "rerun_mp, rerun": f"import rerun_mp, rerun as rr; {LOG}",
    "rerun, rerun_mp": f"import rerun as rr, rerun_mp; {LOG}",
    "rerun_mp, a module of rerun": f"import rerun_mp as rr, rerun.blueprint; {LOG}",
    "a module of rerun_mp, rerun": f"import rerun_mp.blueprint, rerun as rr; {LOG}",
    "a lazy name of rerun_mp": f"import rerun_mp as rr; rr.Boxes3D; {LOG}",
    "rerun_mp, a name of rerun": f"import rerun_mp as rr; from rerun import Boxes3D; {LOG}",
}
"""Imports in the program, and its rows."""


@pytest.mark.parametrize("order", ORDERS)
def test_rerun_and_rerun_mp_may_be_imported_in_any_order(order: str, tmp_path: Path) -> None:
    path = tmp_path / "run.rrd"
    ended = call("run", "--save", path, "--", sys.executable, "-c", ORDERS[order])
    assert ended.returncode == 0, ended.stderr
    assert count_rows(path) == {"a": 1}


INSTRUMENTED = """
import multiprocessing, sys
import rerun as rr

def work():
    rr.log("child", rr.TextLog("x"))

if __name__ == "__main__":
    rr.init("rerun_mp_instrumented")
    rr.log("parent", rr.TextLog("x"))
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
    print("opentelemetry.instrumentation.auto_instrumentation" in sys.modules)
"""
NO_EXPORT = [f"--{kind}_exporter=none" for kind in ("traces", "metrics", "logs")]


@pytest.mark.parametrize("is_outside", [False, True], ids=["inside", "outside"])
def test_opentelemetrys_sitecustomize_and_ours_both_run(is_outside: bool, tmp_path: Path) -> None:
    """Also in a spawned child, whichever command starts the other."""
    instrument = [need_field("opentelemetry-instrument"), *NO_EXPORT]
    path, program = tmp_path / "run.rrd", tmp_path / "program.py"
    program.write_text(INSTRUMENTED)
    run, python = ["run", "--save", str(path), "--"], [sys.executable, str(program)]
    command = [*instrument, COMMAND[0], *run, *python] if is_outside else [COMMAND[0], *run, *instrument, *python]
    ended = call(command=command)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "True\n"
    assert count_rows(path) == {"parent": 1, "child": 1}


def test_the_users_own_start_up_modules_run_too(tmp_path: Path) -> None:
    """A `usercustomize` only where Python looks for one, which it does not in a virtual environment."""
    path = tmp_path / "run.rrd"
    for name in ("sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text(f"import builtins; builtins.{name} = True")
    code = (
        "import builtins, site, rerun as rr; rr.init('rerun_mp_custom'); rr.log('a', rr.TextLog('x'));"
        "print(hasattr(builtins, 'sitecustomize'), hasattr(builtins, 'usercustomize') == bool(site.ENABLE_USER_SITE))"
    )
    ended = call("run", "--save", path, "--", sys.executable, "-c", code, env={"PYTHONPATH": str(tmp_path)})
    assert ended.stdout == "True True\n", ended.stderr
    assert count_rows(path) == {"a": 1}


def test_a_run_without_a_destination_is_told_before_the_program_starts(tmp_path: Path) -> None:
    """The program's own sinks get its rows, as without the command."""
    own = tmp_path / "own.rrd"
    code = f"import os, rerun as rr; os.write(2, b'begun'); {LOG}; rr.save({str(own)!r})"
    ended = call("run", "--", sys.executable, "-c", code)
    assert ended.returncode == 0
    said, begun = ended.stderr.index("no --save, --viewer or --serve was given"), ended.stderr.index("begun")
    assert said < begun
    assert count_rows(own) == {"a": 1}
    assert "no --save" not in call("run", "--save", own, "--", "true").stderr


@pytest.mark.parametrize("options", [["-I"], ["-S"], ["-E"], ["-X", "dev", "-uI"]])
def test_an_interpreter_that_cannot_be_captured_is_told_before_it_starts(options: list[str], tmp_path: Path) -> None:
    ended = call("run", "--save", tmp_path / "run.rrd", "--", sys.executable, *options, "-c", "print('-E')")
    assert "calls of `import rerun` in this interpreter are not captured" in ended.stderr
    assert "the program logged nothing" in ended.stderr


def test_a_frozen_program_is_told_before_it_starts(tmp_path: Path) -> None:
    """PyInstaller's mark stands at the end of the program that it makes."""
    program = tmp_path / "frozen"
    program.write_bytes(b"#!/bin/sh\nexit 5\n" + bytes(100) + b"MEI\014\013\012\013\016" + bytes(80))
    program.chmod(0o700)
    ended = call("run", "--save", tmp_path / "run.rrd", "--", program)
    assert ended.returncode == 5
    assert "frozen is a frozen program" in ended.stderr


@pytest.mark.parametrize("other", ["another Python", "none"])
def test_a_bare_python_without_rerun_mp_is_replaced_by_the_commands_own(other: str, tmp_path: Path) -> None:
    """The environment of `rerun-mp` is not activated. A path is left alone."""
    out, programs = tmp_path / "out.rrd", tmp_path / "bin"
    programs.mkdir()
    if other != "none":
        (programs / "python").write_text("#!/bin/sh\nexit 1\n")
        (programs / "python").chmod(0o755)
    code = "import rerun as rr; rr.init('rerun_mp_bare'); rr.log('a', rr.Scalars(1.0))"
    environment = {"PATH": f"{programs}:/bin" if other != "none" else str(programs)}
    ended = call("run", "--save", out, "--", "python", "-c", code, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert f"{sys.executable} runs in its place" in ended.stderr
    assert count_rows(out) == {"a": 1}
    if other != "none":
        assert call("run", "--", programs / "python", env=environment).returncode == 1


def test_a_shell_script_and_a_script_with_a_shebang_are_captured(tmp_path: Path) -> None:
    path, script, program = (tmp_path / name for name in ("run.rrd", "script.sh", "program"))
    program.write_text(f"#!{sys.executable}\nimport rerun as rr; {LOG}\n")
    script.write_text(f"#!/bin/sh\nexec env {program}\n")
    for file in (script, program):
        file.chmod(0o700)
    ended = call("run", "--save", path, "--", script)
    assert (ended.returncode, Counter(count_rows(path))) == (0, {"a": 1}), ended.stderr
