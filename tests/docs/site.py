"""Builds the documentation as a site: `python -m tests.docs.site` (`make docs`). It fails for a link without a target.

The site has the repository's own pages, in the same folders, so that each link has one form. mkdocs.yml orders them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.harness.programs import ROOT

__all__ = ["build", "copy_pages"]

TOPS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "NAMES.md", "LICENSE")
FOLDERS = ("docs", "examples", "benchmarks", "tests")
SHOWN = {".py", ".ipynb", ".png", ".svg", ".pml", ".service", ".conf", ".yaml", ".yml"}
"""Kinds of files that pages show or link."""


def copy_pages(target: Path) -> None:
    """Copy the pages, and the files that they link, into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in TOPS:
        shutil.copy(ROOT / name, target / name)
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            is_page = path.suffix == ".md" and folder in ("docs", "examples")
            if path.is_file() and (is_page or path.suffix in SHOWN) and path != ROOT / "docs" / "README.md":
                copied = target / path.relative_to(ROOT)
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copied)


def build() -> int:
    """Build the site into artifacts/site, and return mkdocs' exit status."""
    copy_pages(ROOT / "artifacts" / "pages")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml")]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(build())
