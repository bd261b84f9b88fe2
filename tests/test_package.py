"""Wheel and sdist hold what they should; the package requires what it imports; the lock names every tool."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rerun_mp.compat import versions
from tests.harness.programs import ROOT

PACKAGES = {"numpy": "numpy", "pyarrow": "pyarrow", "posix_ipc": "posix_ipc", "psutil": "psutil", "rerun-sdk": "rerun"}
"""A requirement of the base package -> the name that imports it."""

TARGETS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
ADDED = ("LICENSE", "PKG-INFO", "pyproject.toml", ".gitignore")
"""Files of an sdist that hatchling adds."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build a wheel where an older build has left its build/ directory."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "rerun_mp", source / "rerun_mp", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    stale = source / "build" / "lib" / "rerun_mp" / "stale.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(source)]
    built = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = source.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_package_and_nothing_stale(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    sources = {path for path in (ROOT / "rerun_mp").rglob("*.py*") if path.suffix != ".pyc"}
    others = {"rerun_mp/py.typed", "rerun_mp/integrations/pyinstaller/rthooks.dat"}
    assert names == {path.relative_to(ROOT).as_posix() for path in sources} | others
    assert "rerun_mp/cli/startup/sitecustomize.py" in names


def test_the_wheel_has_the_license_and_the_command(wheel: zipfile.ZipFile) -> None:
    metadata = {name.partition(".dist-info/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    assert set(metadata) == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert "rerun-mp = rerun_mp.cli:main" in wheel.read(metadata["entry_points.txt"]).decode()


def test_the_sdist_holds_what_a_packager_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert path.name == f"rerun_mp-{versions.OWN}.tar.gz"
    assert {name.partition("/")[0] for name in names} == {*TARGETS["sdist"]["only-include"], *ADDED}
    for folder in ("rerun_mp", "tests", "examples", "docs"):
        sources = {one.relative_to(ROOT).as_posix() for one in (ROOT / folder).rglob("*.py")}
        assert {name for name in names if name.startswith(f"{folder}/") and name.endswith(".py")} == sources
    assert not [name for name in names if name.endswith((".pyc", ".rrd", ".whl"))]


def test_the_metadata_are_valid_and_name_the_version(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Metadata.from_email(wheel.read(name), validate=True)
    assert str(metadata.version) == versions.OWN
    assert f"## [{versions.OWN}]" in (ROOT / "CHANGELOG.md").read_text()
    assert metadata.description_content_type == "text/markdown"
    assert metadata.license_expression == "MIT"
    for extra in ("cli", "examples"):
        assert f"rerun_mp[{extra}]" in (ROOT / "README.md").read_text() + (ROOT / "docs/platforms.md").read_text()


@pytest.mark.parametrize(
    ("system", "python", "expected"),
    [
        ("linux", "3.13", {"numpy", "pyarrow", "posix-ipc", "psutil", "rerun-sdk"}),
        ("linux", "3.14", {"numpy", "pyarrow", "psutil", "rerun-sdk"}),
        ("darwin", "3.13", {"numpy", "pyarrow", "rerun-sdk"}),
        ("win32", "3.14", {"numpy", "pyarrow", "rerun-sdk"}),
    ],
)
def test_each_system_gets_what_has_a_wheel_there(system: str, python: str, expected: set[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = {"sys_platform": system, "python_version": python}
    wanted = [Requirement(one) for one in project["dependencies"]]
    chosen = {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate(environment)}
    assert chosen == expected


def test_the_base_requires_what_it_imports_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0] for one in project["dependencies"]}
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
    # Parts of rerun-sdk, what it is built on, what only type checkers read, and what is used where it is installed.
    known = {"attrs", "rerun_bindings", "rerun_cli", "typing_extensions", "PIL", "pynvml"}
    assert foreign - known == set(PACKAGES.values())


def required_by(requirements: list[str], extras: set[str]) -> Iterator[Requirement]:
    """Yield the requirements that apply to this interpreter with these extras."""
    for text in requirements:
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield requirement


def test_the_lock_pins_every_package_that_make_installs() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [re.fullmatch(r"([A-Za-z0-9._-]+)==\S+", line) for line in lines if not line.startswith("#")]
    assert all(pinned), "each line is name==version"
    locked = {canonicalize_name(match[1]) for match in pinned if match}

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    todo = [(one.name, one.extras) for one in required_by(wanted, set())]
    seen = {("rerun-mp", frozenset[str]())}
    while todo:
        name, extras = canonicalize_name(todo[-1][0]), frozenset(todo.pop()[1])
        if (name, extras) not in seen and name != "rerun-mp":
            seen.add((name, extras))
            assert name in locked, f"{name} is not in constraints.txt; run `make lock`"
            try:
                todo += [(one.name, one.extras) for one in required_by(requires(name) or [], set(extras))]
            except PackageNotFoundError:
                continue  # an extra that is not installed here, such as `bench`
