"""The models hold, each removed guard has a counterexample, and the names in the models' comments are in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.harness.programs import ROOT
from tests.harness.requirements import need
from tests.protocol.checks import CHECKS
from tests.protocol.spin import MODELS, Check, missing_programs, run


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
def test_a_model_has_a_counterexample_only_without_a_guard(check: Check) -> None:
    """Nothing in a model as the code is; a counterexample where a guard of the code has been taken out."""
    surprise = run(check).surprise(check)
    assert surprise is None, surprise


@pytest.mark.parametrize("model", sorted(path.name for path in MODELS.glob("*.pml")))
def test_the_code_defines_each_name_in_a_models_comments(model: str) -> None:
    """So a model cannot outlive the code that it describes."""
    comments = " ".join(re.findall(r"/\*(.*?)\*/", (MODELS / model).read_text(), flags=re.DOTALL))
    named = set(re.findall(r"\b[A-Za-z_]+\.(?!pml\b)[A-Za-z_]+\b(?!\.\w)", comments))
    assert len(named) > 5
    assert named - defined_names() == set()


@cache
def defined_names() -> set[str]:
    """Return `module.name` and `Class.name` for everything that the package defines."""
    found = set()
    for path in Path(ROOT, "rerun_mp").rglob("*.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        found |= {f"{path.stem}.{name}" for name in names_bound_in(body)}
        for node in body:
            if isinstance(node, ast.ClassDef):
                found |= {f"{node.name}.{name}" for name in names_bound_in(node.body)}
    return found


def names_bound_in(body: list[ast.stmt]) -> Iterator[str]:
    """Yield the functions, classes and variables that these statements define."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def test_every_switch_of_a_model_is_tried() -> None:
    """What a model offers to take away is in the table of checks, and the other way round."""
    for path in MODELS.glob("*.pml"):
        lines = re.findall(r"^#if(?:n?def (\w+)| (.*))$", path.read_text(), flags=re.MULTILINE)
        offered = {name for one, line in lines for name in (one, *re.findall(r"defined\((\w+)\)", line)) if name}
        tried = {switch.partition("=")[0] for check in CHECKS if check.model == path.stem for switch in check.switches}
        sizes = set(re.findall(r"^#ifndef (\w+)\n#define \1 ", path.read_text(), flags=re.MULTILINE))
        assert offered - sizes <= tried <= offered, path.name
