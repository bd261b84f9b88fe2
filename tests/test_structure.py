"""The package's order: imports go down its floors, never round in a circle, and load nothing heavy on the way."""

from __future__ import annotations

import ast
import json
import os
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import RunPython, StartPython
from tests.harness.programs import ROOT
from tests.harness.sessions import SessionWatch

PACKAGE = ROOT / "rerun_mp"

FLOORS = {
    "rerun_mp.errors": -1,
    "rerun_mp.shm": 0,
    # What rows and sessions are made of.
    "rerun_mp.config": 1,
    "rerun_mp.directories": 1,
    "rerun_mp.encoding": 1,
    "rerun_mp.forking": 1,
    "rerun_mp.forksafe_arrow": 1,
    "rerun_mp.http2": 1,
    "rerun_mp.imports": 1,
    "rerun_mp.settings": 1,
    "rerun_mp.waiting": 1,
    # A process's part in a session, and the collector.
    "rerun_mp.accounts": 2,
    "rerun_mp.appends": 2,
    "rerun_mp.collector": 2,
    "rerun_mp.ancestry": 2,
    "rerun_mp.births": 2,
    "rerun_mp.launch": 2,
    "rerun_mp.overview": 2,
    "rerun_mp.leftovers": 2,
    "rerun_mp.producer": 2,
    "rerun_mp.recovery": 2,
    "rerun_mp.registration": 2,
    "rerun_mp.session": 2,
    "rerun_mp.blobs": 2,
    "rerun_mp.table": 2,
    # What Rerun's users know.
    "rerun_mp.active": 3,
    "rerun_mp.beginning": 3,
    "rerun_mp.fast": 3,
    "rerun_mp.bridge": 3,
    "rerun_mp.legacy": 3,
    "rerun_mp.opening": 3,
    "rerun_mp.readback": 3,
    "rerun_mp.recording": 3,
    "rerun_mp.routing": 3,
    "rerun_mp.rows": 3,
    "rerun_mp.figures": 3,
    "rerun_mp.scopes": 3,
    "rerun_mp.series": 3,
    "rerun_mp.sinks": 3,
    "rerun_mp.statistics": 3,
    "rerun_mp.strictness": 3,
    "rerun_mp.timeline": 3,
    "rerun_mp.viewer": 3,
    "rerun_mp.web_server": 3,
    # The face.
    "rerun_mp": 4,
    "rerun_mp.__main__": 4,
    "rerun_mp.cli": 4,
    "rerun_mp.integrations": 4,
}
"""Of a package or module; what is not named itself stands where its package stands. A new one is put here first."""


def modules() -> dict[str, Path]:
    """Return the package's modules by their names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def floor_of(module: str) -> int:
    """Return where a module stands."""
    name = module
    while name not in FLOORS:
        name = name.rpartition(".")[0]
    assert name != "rerun_mp" or module == "rerun_mp", f"{module} stands on no floor yet: give it one in FLOORS"
    return FLOORS[name]


def imports_of(module: str, *, at_start: bool = False) -> Iterator[str]:
    """Yield the modules of ours that `module` imports when it runs; `at_start`: only those not inside functions."""
    known = modules()
    nodes: list[ast.AST] = [ast.parse(known[module].read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            nodes.extend(node.orelse)
            continue
        if at_start and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in known or node.module in known:
                    yield name if name in known else node.module
        nodes.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("module", modules())
def test_imports_only_go_down(module: str) -> None:
    above = {name for name in imports_of(module) if floor_of(name) > floor_of(module)}
    assert not above, f"{module} is on floor {floor_of(module)}"


def test_no_imports_go_round_in_a_circle() -> None:
    """Of the imports that are made when a module is loaded."""
    TopologicalSorter({module: set(imports_of(module, at_start=True)) for module in modules()}).prepare()


def test_errors_may_be_used_by_every_floor() -> None:
    assert not set(imports_of("rerun_mp.errors"))


def test_the_lowest_floor_needs_the_standard_library_and_posix_ipc_only() -> None:
    for module, path in modules().items():
        if module.startswith("rerun_mp.shm"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            foreign = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
            assert foreign <= {"rerun_mp", "posix_ipc"}, module


HEAVY = ("rerun", "rerun_bindings", "numpy", "pyarrow", "psutil")
LOADED = """
import json, sys
before = set(sys.modules)
__import__(sys.argv[1])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.mark.parametrize("module", ["rerun_mp", "rerun_mp.collector.guard"])
def test_what_starts_often_loads_nothing_heavy(module: str, run_python: RunPython) -> None:
    loaded = json.loads(run_python(LOADED, module).check().stdout)
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
