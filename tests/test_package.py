"""The wheel: what is in it, how large it is, what it pulls in; and what the base loads."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.harness.programs import ROOT

MAX_BYTES = 300_000
PACKAGES = {"numpy": "numpy", "pyarrow": "pyarrow", "posix_ipc": "posix_ipc", "psutil": "psutil", "rerun-sdk": "rerun"}
"""What a requirement of the base is called when it is imported."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "rerun_mp", source / "rerun_mp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(source)]
    built = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = source.glob("*.whl")
    return path


def test_it_is_small_and_whole(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_BYTES
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "rerun_mp").rglob("*.py*") if path.suffix != ".pyc"
    }
    assert expected - names == set()
    assert "rerun_mp/py.typed" in names
    assert "rerun_mp/cli/startup/sitecustomize.py" in names
    assert not [name for name in names if name.startswith(("tests/", "examples/", "docs/", "benchmarks/"))]


def test_the_base_requires_what_it_imports_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[<>=!~\[ ]", one, maxsplit=1)[0] for one in project["dependencies"]}
    assert required == set(PACKAGES)
    imported = set()
    for path in (ROOT / "rerun_mp").rglob("*.py"):
        if {"cli", "integrations"} & set(path.relative_to(ROOT).parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    foreign = imported - set(sys.stdlib_module_names) - {"rerun_mp"}
    # Of rerun-sdk, or of what it is built on, and what only type checkers read.
    assert foreign - {"attrs", "rerun_bindings", "rerun_cli", "typing_extensions"} == set(PACKAGES.values())
