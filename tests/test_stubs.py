"""Type checkers find stubs of rerun's modules under our name; running programs get rerun's modules themselves."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import pytest
import rerun as theirs

import rerun_mp as rr

OURS = Path(rr.__file__).parent
THEIRS = Path(theirs.__file__).parent
AT_THE_TOP = {"any_batch_value", "any_value", "dynamic_archetype", "recording_stream"}
"""Modules whose contents are all names of `rerun` itself."""
STUBS = sorted(OURS.rglob("*.pyi"))


def name_of(stub: Path) -> str:
    return ".".join(stub.relative_to(OURS).with_suffix("").parts).removesuffix(".__init__")


def test_each_public_module_of_rerun_has_a_stub_unless_we_have_the_module() -> None:
    public = {entry.name for entry in pkgutil.iter_modules([str(THEIRS)]) if not entry.name.startswith("_")}
    own = {entry.name for entry in pkgutil.iter_modules([str(OURS)])}
    assert {name_of(stub) for stub in STUBS if "." not in name_of(stub)} == public - AT_THE_TOP - own


@pytest.mark.parametrize("stub", STUBS, ids=name_of)
def test_a_stub_names_all_that_is_in_the_module(stub: Path) -> None:
    assert stub.read_text(encoding="utf-8") == f"from rerun.{name_of(stub)} import *\n"


@pytest.mark.parametrize("package", ["blueprint", "experimental", "utilities"])
def test_a_package_of_stubs_covers_what_is_public_in_it(package: str) -> None:
    public = {entry.name for entry in pkgutil.iter_modules([str(THEIRS / package)]) if not entry.name.startswith("_")}
    assert {stub.stem for stub in (OURS / package).iterdir()} == public | {"__init__"}


@pytest.mark.parametrize("name", ["blueprint", "blueprint.views", "components", "experimental", "utilities", "time"])
def test_at_run_time_the_module_is_reruns(name: str) -> None:
    """Even if our package has a stub, or a directory of stubs, of that name."""
    assert importlib.import_module(f"rerun_mp.{name}") is importlib.import_module(f"rerun.{name}")
