"""The documentation is true: its code runs, its lists are complete, its links have targets."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import fields
from pathlib import Path

import pytest

from rerun_mp.settings import Settings
from tests.conftest import RunPython
from tests.docs.messages import messages, normal, texts
from tests.docs.reference import abi, api
from tests.examples.test_integrations import python_with_torch
from tests.harness.programs import ROOT

PAGES = [
    ROOT / "README.md",
    ROOT / "examples" / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "ARCHITECTURE.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
MESSAGE = re.compile(r"^- [\w, ]+: (`+) ?(.+?) ?\1$", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(#[^)]*)?\)")


def blocks(language: str) -> list[tuple[str, int, str]]:
    """Return the code blocks of all pages: the page, the number of the block on it, the text."""
    found = []
    for page in PAGES:
        of_page = [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]
        found += [(page.name, number, text) for number, text in enumerate(of_page)]
    return found


@pytest.mark.parametrize(("page", "number", "code"), blocks("python"), ids=lambda value: str(value)[:24])
def test_the_python_code_runs(
    page: str, number: int, code: str, run_python: RunPython, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(code).check()


@pytest.mark.parametrize(("page", "number", "code"), blocks("py"), ids=lambda value: str(value)[:24])
def test_the_python_code_for_pytorch_runs(page: str, number: int, code: str, place: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))}
    command = [python_with_torch(), "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("page", "number", "code"), blocks("sh"), ids=lambda value: str(value)[:24])
def test_the_commands_run(page: str, number: int, code: str, place: Path, tmp_path: Path) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-e", "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_message_is_in_the_troubleshooting_page_with_cause_and_cure() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## By message")[2]
    listed = {normal(text) for _, text in MESSAGE.findall(page)}
    made = set(messages())
    assert made - listed == set(), "not on the page"
    assert listed - made == set(), "on the page, but not in the code"
    for section in page.split("#### ")[1:]:
        assert "**Cause.**" in section, section.partition("\n")[0]
        assert "**Cure.**" in section, section.partition("\n")[0]


def test_the_code_has_every_text_in_the_table_of_symptoms() -> None:
    """Spans of three words or more in the first column. An ellipsis and a variable of ours stand for values."""
    table = (
        (ROOT / "docs" / "troubleshooting.md").read_text().partition("## By symptom")[2].partition("## By message")[0]
    )
    in_code = texts()
    for row in re.findall(r"^\| (.+?) \|", table, re.MULTILINE):
        for span in re.findall(r"``(.+?)``|`(.+?)`", row):
            for text in re.split(r"…|RERUN_MP_[A-Z]+", "".join(span)):
                known = any(text.strip(" :") in template for template in in_code)
                assert known or len(text.split()) < 3, f"no line of the code says {text!r}"


def test_every_setting_is_in_its_page() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for field in fields(Settings):
        assert f"| `{field.name}` | `RERUN_MP_{field.name.upper()}` |" in page


def test_the_generated_pages_are_current() -> None:
    for name, text in (("api", api()), ("abi", abi())):
        assert (ROOT / "docs" / f"{name}.md").read_text() == text, "run: python -m tests.docs.reference"


def test_the_page_of_examples_has_every_example() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    shared = {"ledger.py", "screenshots.py"}
    for path in sorted((ROOT / "examples").rglob("*")):
        if path.suffix in (".py", ".ipynb") and path.name not in shared:
            assert f" {path.relative_to(ROOT)}" in page, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_has_a_target(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        path = (page.parent / target) if target else page
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in anchors, f"{target}{anchor}"
