"""The package's order: imports go down the tiers, never in a circle, and load no heavy package."""

from __future__ import annotations

import ast
import json
import os
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.sessions import SessionWatch
from tests.structure import COVERED_BY, circles, mirror_of, structure

MAX_MODULE_LINES = 400
MAX_CLASS_LINES = 300
MAX_PROGRAM_LINES = 20


def test_imports_only_go_down() -> None:
    assert [f"{module} -> {name}" for module, name in structure().upward()] == []


def test_no_imports_go_round_in_a_circle() -> None:
    assert circles({module: structure().imports_of(module) for module in structure().paths}) == []


def test_no_imports_go_round_in_a_circle_when_modules_are_loaded() -> None:
    TopologicalSorter({module: structure().imports_of(module, at_start=True) for module in structure().paths}).prepare()


def test_modules_and_classes_are_small_enough_to_read() -> None:
    assert [size for size in structure().module_sizes() if size.lines > MAX_MODULE_LINES] == []
    assert [size for size in structure().class_sizes() if size.lines > MAX_CLASS_LINES] == []


def test_every_module_has_its_tests() -> None:
    """An `__init__` with nothing but a docstring needs none."""
    bare = {
        name for name, path in structure().paths.items() if len(ast.parse(path.read_text(encoding="utf-8")).body) == 1
    }
    without = {name for name in structure().paths if not (structure().root / mirror_of(name)).exists()} - bare
    assert without == set(COVERED_BY)
    assert [test for test in COVERED_BY.values() if not (structure().root / test).exists()] == []


def test_the_ring_needs_the_standard_library_and_posix_ipc_only() -> None:
    for module, path in structure().paths.items():
        if module.startswith("rerun_mp.shm"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            foreign = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
            assert foreign <= {"rerun_mp", "posix_ipc"}, module


def test_long_programs_are_files_that_are_linted_and_checked() -> None:
    """A program that a test holds in a string has 20 lines at most, blank lines left out."""
    long = []
    for path in sorted((structure().root / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr):
                lines = [line.strip() for line in text_of(node).splitlines() if line.strip()]
                if len(lines) > MAX_PROGRAM_LINES and any(line.startswith(("import ", "from ")) for line in lines):
                    long.append(f"{path.relative_to(structure().root)}:{node.lineno}: {len(lines)} lines")
    assert long == []


def text_of(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the text of a string; of an f-string, the parts that are fixed."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


HEAVY = ("rerun", "rerun_bindings", "numpy", "pyarrow", "psutil")
LOADED = """
import json, sys
before = set(sys.modules)
__import__(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("module", ["rerun_mp", "rerun_mp.collector.guard"])
def test_modules_that_start_often_load_nothing_heavy(module: str, run_python: RunPython) -> None:
    loaded = json.loads(run_python(LOADED, module, fresh=True).check().stdout)
    assert module in loaded
    assert not [name for name in loaded if name.partition(".")[0] in HEAVY]


HELD = """
import os, sys
import rerun_mp as rr
rr.init("rerun_mp_guard")
rr.log("row", rr.Scalars(1.0))
rr.flush()
print("stored", flush=True)
os.read(os.open(sys.argv[1], os.O_RDONLY), 1)
"""


@pytest.mark.real_collectors
def test_a_running_guard_has_nothing_heavy_in_its_memory(start_python: StartPython, tmp_path: Path) -> None:
    """It does not load any of it later either; the worker, which does the work, has it."""
    fifo, watch = tmp_path / "fifo", SessionWatch()
    os.mkfifo(fifo)
    program = start_python(HELD, fifo, env=watch.environment)
    program.wait_for_output("stored")
    maps = {role: Path(f"/proc/{watch.collector(role).pid}/maps").read_text() for role in ("guard", "worker")}
    fifo.write_bytes(b"x")
    program.wait().check()
    assert "/numpy/" in maps["worker"]
    assert not [name for name in HEAVY if f"/{name}/" in maps["guard"]]
