"""Rerun's modules under our name: `import rerun_mp.blueprint as rrb` yields the module `rerun.blueprint` itself.

One object under two names, so that classes are equal however they were imported. A finder at the head of
`sys.meta_path` does it. It must come before Python's own finder: once `rerun_mp.blueprint` is rerun's package, Python's
finder would load `rerun_mp.blueprint.views` a second time from the directory of that package.

A module of `LIGHT` needs nothing of rerun, so it loads without rerun's own package, which would take 0.2 s.

Python's import locks serialise the loading of each module. A forked child inherits the finder.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import module_from_spec
from typing import TYPE_CHECKING, cast

from rerun_mp.hooks.when_loaded import when_loaded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from types import ModuleType

__all__ = ["find_old_modules_with", "install_finder", "is_own"]

OURS = "rerun_mp"
THEIRS = "rerun"
LIGHT = frozenset({"rerun.utilities"})

_find_old_module: Callable[[str], ModuleType | None] | None = None


def install_finder() -> None:
    """Put the finder at the head of `sys.meta_path`, once."""
    if not any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, AliasFinder())


def find_old_modules_with(find: Callable[[str], ModuleType | None]) -> None:
    """Have `find` serve modules that rerun has dropped: it takes a name such as `memory`, and may return None."""
    global _find_old_module
    _find_old_module = find


def is_own(fullname: str) -> bool:
    """Return whether a module of this name belongs to this package and not to rerun."""
    first = ".".join(fullname.split(".", 2)[:2])
    spec = PathFinder.find_spec(first, sys.modules[OURS].__path__)
    # A directory with nothing but stubs for type checkers has no origin.
    return spec is not None and spec.origin is not None


class AliasFinder:
    """Finds rerun's modules under our name, and nothing else."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 (importlib's signature)
        target: ModuleType | None = None,  # noqa: ARG002 (importlib's signature)
    ) -> ModuleSpec | None:
        """Return the spec of an alias, as `importlib.abc.MetaPathFinder` demands."""
        if not fullname.startswith(OURS + ".") or is_own(fullname):
            return None
        name = fullname.removeprefix(OURS + ".")
        module = _module_of_rerun(f"{THEIRS}.{name}")
        if module is None and _find_old_module is not None:
            module = _find_old_module(name)
        if module is None:
            return None
        return ModuleSpec(fullname, cast("Loader", Alias(module)), is_package=hasattr(module, "__path__"))


class Alias:
    """A loader that returns a module that is loaded already, and leaves it unchanged."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002 (importlib's signature)
        """Return the module. `importlib` then sets the alias's spec on it."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back."""
        module.__spec__ = self._spec


def _module_of_rerun(name: str) -> ModuleType | None:
    if name in LIGHT and THEIRS not in sys.modules and (module := _load_alone(name)) is not None:
        return module
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def _load_alone(name: str) -> ModuleType | None:
    """Load a module of rerun and not rerun's package; None if it is not there or needs the package."""
    package = PathFinder.find_spec(THEIRS)
    spec = package and PathFinder.find_spec(name, package.submodule_search_locations)
    if spec is None or spec.loader is None:
        return None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ImportError:
        del sys.modules[name]
        return None
    when_loaded(THEIRS, lambda rerun: setattr(rerun, name.rpartition(".")[2], module))
    return module
