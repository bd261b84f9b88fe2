"""ARCHITECTURE.md is true: its map and its way of a row are those of the code."""

from __future__ import annotations

import re

from tests.docs.architecture import PAGE, package_map, written_map
from tests.harness.programs import ROOT
from tests.structure import structure

MODULE = re.compile(r"`([\w/]+\.py)`")


def steps() -> list[str]:
    """Return the numbered lines of the section that follows a row."""
    section = PAGE.read_text(encoding="utf-8").partition("## The way of a row\n")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. (.*(?:\n   .*)*)", section, re.MULTILINE)


def imports_of(path: str) -> set[str]:
    """Return the paths of the modules that a module imports."""
    imported = structure().imports_of("rerun_mp." + path.removesuffix(".py").replace("/", "."))
    return {structure().paths[name].relative_to(ROOT / "rerun_mp").as_posix() for name in imported}


def test_the_map_is_drawn_from_the_code() -> None:
    assert written_map() == package_map(structure()), "run: python -m tests.docs.architecture"


def test_each_module_on_the_way_of_a_row_imports_the_next() -> None:
    """A step's first module is reached by an import from an earlier step; only shared memory leads across processes."""
    ways = [MODULE.findall(step) for step in steps()]
    assert len(ways) == 10
    assert all(ways)
    reached = {ways[0][0]}
    for step, modules in zip(steps(), ways, strict=True):
        if "another process" in step:
            assert "shm/layout.py" in imports_of(modules[0]), modules[0]
            assert any("shm/layout.py" in imports_of(module) for module in reached)
            reached.add(modules[0])
        for module in modules:
            assert (ROOT / "rerun_mp" / module).exists(), module
            importers = [importer for importer in reached if module in imports_of(importer)]
            assert importers or module in reached, f"nothing before it on the way imports {module}"
            reached.add(module)


def test_every_file_that_the_page_names_exists() -> None:
    text = re.sub(r"<!-- map -->.*<!-- end of map -->", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    for name in re.findall(r"`([\w/]+\.(?:py|pml))`", text):
        assert (ROOT / name).exists() or (ROOT / "rerun_mp" / name).exists(), name
