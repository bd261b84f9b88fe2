"""`script_add_args`, `script_setup` and `script_teardown`: rerun's own functions, without the rest of rerun.

Rerun's examples call them first, and they need a few functions that `rerun_mp` has, too. So rerun's file of them is
executed with `rerun_mp` in place of `rerun`. Loading rerun would take longer than the rest of a short program.
"""

from __future__ import annotations

import builtins
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from typing import Any

__all__ = ["script_add_args", "script_setup", "script_teardown"]

HOME = "rerun._script_helpers"


def _import(name: str, *args: Any, **kwargs: Any) -> Any:
    """Import a module for rerun's file."""
    return sys.modules["rerun_mp"] if name == "rerun" else builtins.__import__(name, *args, **kwargs)


def _load() -> Any:
    package = PathFinder.find_spec("rerun")
    spec = package and PathFinder.find_spec(HOME, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return import_module("rerun")
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    spec.loader.exec_module(module)
    return module


_helpers = _load()
script_add_args = _helpers.script_add_args
script_setup = _helpers.script_setup
script_teardown = _helpers.script_teardown
