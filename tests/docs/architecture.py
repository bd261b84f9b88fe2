"""Makes the map of packages in ARCHITECTURE.md from the code: `python -m tests.docs.architecture` renews it."""

from __future__ import annotations

import ast
import re

from tests.harness.programs import ROOT
from tests.structure import ORDER, Structure, entry_of

__all__ = ["PAGE", "package_map", "written_map"]

PAGE = ROOT / "ARCHITECTURE.md"
MAP = re.compile(r"(?<=<!-- map -->\n).*?(?=<!-- end of map -->)", re.DOTALL)


def package_map(structure: Structure) -> str:
    """Return the map: one line for each entry of `ORDER`, from the top to the bottom of the imports."""
    lines = ["| package | role | modules |", "|---|---|---|"]
    for tier in reversed(ORDER):
        for entry in tier:
            names = sorted(name for name in structure.paths if entry_of(name) == entry)
            is_package = structure.paths[entry].name == "__init__.py"
            path = (entry.replace(".", "/") + ("/" if is_package else ".py")).removeprefix("rerun_mp/")
            modules = [name.removeprefix(entry + ".").replace(".", "/") for name in names if name != entry]
            listed = ", ".join(f"`{name}`" for name in modules if structure.paths[_full(entry, name)].name[0] != "_")
            lines.append(f"| `{path or '__init__.py'}` | {_role(structure, entry)} | {listed} |")
    return "\n".join(lines) + "\n"


def written_map() -> str:
    """Return the map that ARCHITECTURE.md has."""
    found = MAP.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None, "ARCHITECTURE.md has lost the marks of its map"
    return found[0]


def _full(entry: str, name: str) -> str:
    return f"{entry}.{name.replace('/', '.')}"


def _role(structure: Structure, entry: str) -> str:
    """Return the first paragraph of a docstring."""
    docstring = ast.get_docstring(ast.parse(structure.paths[entry].read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MAP.sub(lambda _: package_map(Structure()), text), encoding="utf-8")
