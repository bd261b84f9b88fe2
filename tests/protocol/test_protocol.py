"""The models hold, each guard that is taken out of them is missed, and what they speak of is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness.programs import ROOT
from tests.harness.requirements import need
from tests.protocol.checks import CHECKS
from tests.protocol.spin import MODELS, Check, missing_programs, run

MODULES = ("shm", "collector", ".", "encoding")


@pytest.fixture(scope="module")
def _spin() -> None:
    missing = missing_programs()
    need(missing and f"{missing} (Debian: spin and gcc)", "RERUN_MP_REQUIRE_SPIN")


@pytest.mark.usefixtures("_spin")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "check",
    [pytest.param(check, id=check.name, marks=() if check.quick else pytest.mark.soak) for check in CHECKS],
)
def test_the_search_finds_what_it_must(check: Check) -> None:
    """Nothing in a model as the code is; a counterexample where a guard of the code has been taken out."""
    surprise = run(check).surprise(check)
    assert surprise is None, surprise


@pytest.mark.parametrize("model", sorted(path.name for path in MODELS.glob("*.pml")))
def test_what_a_model_speaks_of_exists(model: str) -> None:
    """Every `Class.method` and `Class` that its comments name is in the code, so that a model cannot outlive it."""
    sources = "\n".join(path.read_text() for part in MODULES for path in Path(ROOT, "rerun_mp", part).glob("*.py"))
    comments = " ".join(re.findall(r"/\*(.*?)\*/", (MODELS / model).read_text(), flags=re.DOTALL))
    named = set(re.findall(r"\b([A-Z][A-Za-z]+[a-z])\.([a-z_]+)\b", comments))
    assert named
    for owner, method in sorted(named):
        begin = re.search(rf"^class {owner}\b", sources, flags=re.MULTILINE)
        assert begin is not None, f"{model} names the class {owner}"
        end = re.compile(r"^(class|def) ", flags=re.MULTILINE).search(sources, begin.end())
        body = sources[begin.start() : end.start() if end else None]
        assert re.search(rf"\b{method}\b", body), f"{model} names {owner}.{method}"


def test_every_switch_of_a_model_is_tried() -> None:
    """What a model offers to take away is in the table of checks, and the other way round."""
    for path in MODELS.glob("*.pml"):
        lines = re.findall(r"^#if(?:n?def (\w+)| (.*))$", path.read_text(), flags=re.MULTILINE)
        offered = {name for one, line in lines for name in (one, *re.findall(r"defined\((\w+)\)", line)) if name}
        tried = {switch.partition("=")[0] for check in CHECKS if check.model == path.stem for switch in check.switches}
        sizes = set(re.findall(r"^#ifndef (\w+)\n#define \1 ", path.read_text(), flags=re.MULTILINE))
        assert offered - sizes <= tried <= offered, path.name
