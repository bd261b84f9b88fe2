"""A module of rerun has two names and is one object; modules of our own are not taken for rerun's."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest
import rerun.blueprint

from rerun_mp.hooks.aliases import AliasFinder, install_finder, is_own


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rerun_mp.api", True),
        ("rerun_mp.api.log", True),
        ("rerun_mp.figures", True),
        ("rerun_mp.blueprint", False),
        ("rerun_mp.sinks", False),
        ("rerun_mp.recording", False),
        ("rerun_mp.no_such_module", False),
    ],
)
def test_a_module_belongs_to_us_or_to_rerun(name: str, expected: bool) -> None:
    assert is_own(name) is expected


def test_an_alias_is_the_module_with_its_own_spec() -> None:
    module = import_module("rerun_mp.blueprint")
    assert module is rerun.blueprint
    assert module.__spec__ is not None
    assert module.__spec__.name == "rerun.blueprint"


def test_the_finder_leaves_all_other_modules_to_python() -> None:
    finder = AliasFinder()
    for name in ("json", "rerun", "rerun.blueprint", "rerun_mp", "rerun_mp.figures", "rerun_mp.no_such_module"):
        assert finder.find_spec(name) is None


def test_a_module_that_rerun_has_not_is_not_found_under_our_name() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rerun_mp\.no_such_module"):
        import_module("rerun_mp.no_such_module")


def test_the_finder_is_installed_once_and_before_pythons_own() -> None:
    install_finder()
    kinds = [type(finder) for finder in sys.meta_path]
    assert kinds.count(AliasFinder) == 1
    names = [getattr(finder, "__name__", "") for finder in sys.meta_path]
    assert kinds.index(AliasFinder) < names.index("PathFinder")
